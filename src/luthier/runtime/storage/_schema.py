"""The tables of a store, and its statements: written once with SQLAlchemy Core, compiled ahead for each dialect.

    python -m luthier.runtime.storage._schema

writes statements.json, which stores read (`_statements`): what is run is text on the driver's own cursor. SQLAlchemy's
`execute` costs 40 to 60 microseconds a call, more than the database itself takes for the whole transaction, and its
import a fifth of a second. So the SQL stays portable and the hot path short. Every statement names its bound values in
the order in which they are passed.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from luthier.runtime.storage._statements import FILE, Statements

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("luthier", sa.Text, nullable=False),
)

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("created", sa.Float(53), nullable=False),
    sa.Column("schema", sa.Integer, nullable=False),
)


def _study() -> sa.Column[int]:
    return sa.Column("study", sa.Integer, sa.ForeignKey("studies.id"), primary_key=True, autoincrement=False)


# apart from `studies`, so that taking a number does not rewrite a row that holds a large problem
counters = sa.Table(
    "counters",
    metadata,
    _study(),
    sa.Column("next_trial", sa.Integer, nullable=False),
)

# without rowid: the log is clustered by its key, and an append touches one tree less (measured: 20 to 40 % faster)
events = sa.Table(
    "events",
    metadata,
    _study(),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("trial", sa.Integer),
    sa.Column("seen", sa.Integer),
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

_is_asked = events.c.kind == sa.literal_column("'asked'")
# partial, and plain text: SQLite and PostgreSQL read it alike, and an `Index` with PostgreSQL's option would load
# that dialect (0.1 s) into every program
ONE_ASKED = "CREATE UNIQUE INDEX one_asked ON events (study, trial) WHERE kind = 'asked'"

reservations = sa.Table(
    "reservations",
    metadata,
    _study(),
    sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("driver", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

claims = sa.Table(
    "claims",
    metadata,
    _study(),
    sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("driver", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

drivers = sa.Table(
    "drivers",
    metadata,
    _study(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("born", sa.BigInteger, nullable=False),
    sa.Column("beat", sa.Float(53), nullable=False),
    sa.Column("lease", sa.Float(53), nullable=False),
    sqlite_with_rowid=False,
)


def definitions(dialect: sa.Dialect) -> list[str]:
    """The DDL statements that make the current schema, in a dialect's words."""
    return [*(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables), ONE_ASKED]


def statements(dialect: sa.Dialect) -> Statements:
    """Compile every statement for a dialect with positional parameters."""

    def text(statement: sa.ClauseElement, *order: str) -> str:
        compiled: Any = statement.compile(dialect=dialect)
        assert tuple(compiled.positiontup or ()) == order, (compiled.positiontup, order)
        return str(compiled)

    # a parameter of an UPDATE may not bear the name of a column: hence the prefix
    study, trial, driver = _bound("study"), _bound("trial"), _bound("driver")
    log = sa.select(*(events.c[name] for name in ("seq", "time", "kind", "trial", "seen", "data")))
    mine = drivers.c.study == study, drivers.c.id == driver
    held = reservations.c.study == study, reservations.c.trial == trial
    claimed = claims.c.study == study, claims.c.trial == trial, claims.c.what == sa.bindparam("p_what")
    return Statements(
        meta_gone=text(meta.delete()),
        meta_new=text(meta.insert(), *meta.c.keys()),
        study_all=text(sa.select(studies).order_by(studies.c.id)),
        study_new=text(studies.insert(), *studies.c.keys()),
        counter_new=text(counters.insert(), *counters.c.keys()),
        head=text(
            sa.select(sa.select(sa.func.max(events.c.seq)).where(events.c.study == counters.c.study).scalar_subquery())
            .select_from(counters)
            .where(counters.c.study == study),
            "p_study",
        ),
        event_new=text(events.insert(), *events.c.keys()),
        event_range=text(
            log.where(
                events.c.study == study,
                events.c.seq > sa.bindparam("p_after"),
                events.c.seq <= sa.bindparam("p_until"),
            ).order_by(events.c.seq),
            "p_study",
            "p_after",
            "p_until",
        ),
        asked=text(
            sa.select(events.c.seq).where(events.c.study == study, events.c.trial == trial, _is_asked),
            "p_study",
            "p_trial",
        ),
        vacancy=text(_vacancy(study, driver), "p_driver", "p_study"),
        number_take=text(
            counters.update().values(next_trial=sa.bindparam("p_next")).where(counters.c.study == study),
            "p_next",
            "p_study",
        ),
        reserve_new=text(reservations.insert(), *reservations.c.keys()),
        reserve_again=text(reservations.update().values(driver=driver).where(*held), "p_driver", "p_study", "p_trial"),
        reserved=text(sa.select(reservations.c.driver).where(*held), "p_study", "p_trial"),
        release=text(reservations.delete().where(*held), "p_study", "p_trial"),
        vacate=text(
            reservations.update().values(driver=driver).where(*held, reservations.c.driver == sa.bindparam("p_owner")),
            "p_driver",
            "p_study",
            "p_trial",
            "p_owner",
        ),
        claim_owner=text(sa.select(claims.c.driver).where(*claimed), "p_study", "p_trial", "p_what"),
        claim_new=text(claims.insert(), *claims.c.keys()),
        claim_pass=text(
            claims.update().values(driver=driver).where(*claimed), "p_driver", "p_study", "p_trial", "p_what"
        ),
        driver_known=text(sa.select(drivers.c.id).where(*mine), "p_study", "p_driver"),
        driver_new=text(drivers.insert(), *drivers.c.keys()),
        driver_gone=text(drivers.delete().where(*mine), "p_study", "p_driver"),
        driver_beat=text(
            drivers.update().values(beat=sa.bindparam("p_beat")).where(*mine), "p_beat", "p_study", "p_driver"
        ),
        driver_all=text(
            sa.select(*(drivers.c[name] for name in ("id", "host", "pid", "born", "beat", "lease")))
            .where(drivers.c.study == study)
            .order_by(drivers.c.id),
            "p_study",
        ),
    )


def _bound(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(f"p_{name}")


def _vacancy(study: sa.BindParameter[Any], driver: sa.BindParameter[Any]) -> sa.Select[Any]:
    """One row: next number by the counter, highest number asked, lowest number set free, is the driver registered.

    "Set free" is reserved by a driver that is no longer registered, and not asked.
    """
    other = events.alias("other")
    highest = sa.select(sa.func.max(events.c.trial)).where(events.c.study == counters.c.study, _is_asked)
    registered = sa.exists().where(drivers.c.study == reservations.c.study, drivers.c.id == reservations.c.driver)
    used = sa.exists().where(
        other.c.study == reservations.c.study,
        other.c.trial == reservations.c.trial,
        other.c.kind == sa.literal_column("'asked'"),
    )
    free = sa.select(sa.func.min(reservations.c.trial)).where(
        reservations.c.study == counters.c.study, ~registered, ~used
    )
    known = sa.exists().where(drivers.c.study == counters.c.study, drivers.c.id == driver)
    return sa.select(
        counters.c.next_trial, highest.scalar_subquery(), free.scalar_subquery(), known.correlate(counters)
    ).where(counters.c.study == study)


def written() -> str:
    """All texts for both dialects, as statements.json holds them."""
    engines = {
        "sqlite": sa.create_engine("sqlite://", paramstyle="qmark"),
        "postgresql": sa.create_engine("postgresql+psycopg://", paramstyle="format", use_native_hstore=False),
    }
    found = {
        name: {"definitions": definitions(engine.dialect), "statements": statements(engine.dialect)._asdict()}
        for name, engine in engines.items()
    }
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
