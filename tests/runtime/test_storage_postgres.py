"""A PostgreSQL store on a real server: addresses, lost connections, restarts, frozen drivers, the server's clock."""

import signal
import threading
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import luthier as lu
from luthier.base.errors import ArgumentError, SchemaError, StorageError
from luthier.cli._app import app
from luthier.runtime.storage import Draft, SQLite, dead, open_storage, postgresql, this_driver
from luthier.study.convert import convert, digest
from luthier.testing import postgres

pytestmark = pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing()))


@pytest.fixture
def server():
    return postgres.shared()


@pytest.fixture
def url(server):
    return server.new()


def _refusal(call, kind=StorageError):
    with pytest.raises(StorageError) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


# addresses


def test_a_password_is_used_and_not_shown(server, url):
    with open_storage(url, create=True) as store:
        assert server.password not in store.url + store.where
        store.create("x", seed=0, problem={})
    with open_storage(store.url) as again:  # this process remembers it
        assert again.open().name == "x"
    with lu.Study({"x": lu.Float(0, 1)}, storage=url, name="shown") as study:
        assert server.password not in f"{study!r} {study.where} {study.url}"


def test_names_that_sqlalchemy_and_heroku_use(url):
    open_storage(url.replace("postgresql:", "postgres:"), create=True).close()
    open_storage(url.replace("postgresql:", "postgresql+psycopg:")).close()


def test_schemas_are_stores_of_their_own(url):
    with open_storage(url, create=True) as one, open_storage(f"{url}?schema=team_b", create=True) as two:
        one.create("x", seed=0, problem={})
        assert two.studies() == []
        assert two.url.endswith("?schema=team_b")
    with open_storage(two.url) as again:
        assert again.schema == "team_b"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?schema=a;b", "storage: schema='a;b'. Allowed: letters, digits and '_', such as 'team_a'."),
        ("?patience=soon", "storage: patience='soon'. Allowed: seconds, such as 300."),
        ("?patience=0", "patience=0.0. Allowed: a number and above 0."),
    ],
)
def test_wrong_options(url, query, message):
    with pytest.raises(ArgumentError) as caught:
        open_storage(url + query)
    assert str(caught.value) == message


def test_unknown_option(url):
    with pytest.raises(ArgumentError, match=r'invalid URI query parameter: "colour"\. Allowed: postgresql://USER@HOST'):
        open_storage(url + "?colour=red")


def test_a_host_that_has_no_name_in_any_network():
    with pytest.raises(ArgumentError, match="Allowed: names of hosts, and ports"):
        open_storage("postgresql://00\x80/db")


def test_a_store_that_is_not_there(server, url):
    begin = time.monotonic()
    message = _refusal(lambda: open_storage(url))
    assert "holds no schema 'luthier' of luthier. Look for a misspelt database" in message
    message = _refusal(lambda: open_storage(server.url("nowhere"), create=True))
    assert message.endswith('database "nowhere" does not exist. Make it first: createdb NAME.')
    message = _refusal(lambda: open_storage(url.replace(server.password, "wrong"), create=True))
    assert "password authentication failed" in message
    assert "~/.pgpass or PGPASSWORD" in message
    message = _refusal(lambda: open_storage("postgresql://luthier@127.0.0.1:1/x", create=True))
    assert "Connection refused" in message or "connection failed" in message
    assert time.monotonic() - begin < 20, "a wrong address must not wait for the patience of 300 s"


def test_schema_of_another_program(server, url):
    database = url.rpartition("/")[2]
    server.execute("CREATE SCHEMA luthier; CREATE TABLE luthier.songs (id int)", database)
    message = _refusal(lambda: open_storage(url, create=True), SchemaError)
    assert "the schema 'luthier' is another program's (tables: songs)" in message


def test_newer_schema(server, url):
    open_storage(url, create=True).close()
    server.execute("UPDATE luthier.meta SET schema = 99, luthier = '9.0'", url.rpartition("/")[2])
    assert "has schema 99, written by luthier 9.0" in _refusal(lambda: open_storage(url), SchemaError)


def test_optuna_may_live_in_the_same_database(server, url):
    server.execute("CREATE TABLE studies (study_id int)", url.rpartition("/")[2])
    with open_storage(url, create=True) as store:
        assert store.studies() == []


def test_a_role_without_rights_is_told_what_to_ask_for(server, url):
    database = url.rpartition("/")[2]
    server.execute(f"DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD '{server.password}'", database)
    message = _refusal(lambda: open_storage(url.replace("luthier:", "guest:"), create=True))
    assert message.endswith("Ask the owner of the database for: CREATE SCHEMA luthier AUTHORIZATION you.")


# lost connections


@pytest.fixture
def store(url):
    with open_storage(url, create=True) as store:
        store.create("x", seed=0, problem={})
        yield store


def test_cut_connections_are_made_again(server, store):
    store.register(1, replace(this_driver(30), id="me"))
    for k in range(5):
        assert server.cut() >= 1
        assert store.reserve(1, "me") == k
        server.cut()
        assert store.append(1, [Draft(0.0, "asked", k)], release=[k]) == k + 1
    server.cut()
    assert [event.trial for event in store.read(1)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_writes_nothing_twice(store, monkeypatch, committed):
    """The connection breaks at COMMIT: before the server did it, or after."""
    store.register(1, replace(this_driver(30), id="me"))
    commit, broken = type(store)._commit, []

    def breaks(self, cursor, *, write):
        if write and len(broken) % 2 == 0:
            broken.append(True)
            if committed:
                commit(self, cursor, write=write)
            cursor.connection.close()
            raise self._psycopg.OperationalError("server closed the connection unexpectedly")
        broken.append(False)
        commit(self, cursor, write=write)

    monkeypatch.setattr(type(store), "_commit", breaks)
    assert [store.reserve(1, "me") for _ in range(3)] == [0, 1, 2]
    drafts = [Draft(0.5, "asked", 0, 0, {"x": 1}), Draft(0.5, "started", 0)]
    assert store.append(1, drafts, release=[0]) == 1
    assert store.append(1, [Draft(1.5, "reported", 0)]) == 3
    assert store.append(1, [Draft(1.5, "reported", 0)]) == 4
    assert store.create("y", seed=3, problem={}).id == 2
    assert store.claim(1, 0, "rung 3", "me")
    assert [event.seq for event in store.read(1)] == [1, 2, 3, 4]
    assert any(broken)


def test_a_crash_of_the_server_is_waited_for(url):
    own = postgres.Server({"fsync": "off"})
    with own:
        with open_storage(own.new(), create=True) as store:
            study = store.create("x", seed=0, problem={}).id
            first = store.append(study, [Draft(0.0, "note")])
            own.stop(signal.SIGKILL)
            restart = threading.Timer(0.3, own.restart)
            restart.start()
            assert store.append(study, [Draft(0.0, "note")]) == first + 1
            restart.join()
            own.restart()  # in order, and between two calls
            assert store.append(study, [Draft(0.0, "note")]) == first + 2
            assert store.head(study) == 3
        with open_storage(store.url + "?patience=0.2") as hasty:
            own.stop()
            message = _refusal(lambda: hasty.append(study, [Draft(0.0, "note")]))
            assert "after 0.2 s of waiting. Look at the server's log; then go on" in message
            own.start()
            assert hasty.append(study, [Draft(0.0, "note")]) == 4


def test_a_frozen_driver_holds_nobody_up(url, monkeypatch):
    """Stopped inside a transaction (SIGSTOP), it loses the study's lock, and finds that out by itself."""
    monkeypatch.setattr(postgresql, "_IDLE", 1)
    with open_storage(url, create=True) as frozen, open_storage(url) as other:
        frozen.create("x", seed=0, problem={})
        frozen._begin(frozen._cursor, write=True, study=1)
        assert other.append(1, [Draft(0.0, "note")]) == 1
        assert frozen.append(1, [Draft(0.0, "note")]) == 2


# several drivers


def test_the_lease_goes_by_the_clock_of_the_server(store, monkeypatch):
    far = replace(this_driver(0.4), host="another machine")
    store.register(1, far)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # this machine's clock jumps a lifetime ahead
    [(found, age)] = store.drivers(1)
    assert not dead(found, age, this_driver(60))
    time.sleep(0.5)
    [(found, age)] = store.drivers(1)
    assert dead(found, age, this_driver(60))
    store.beat(1, far.id)
    [(found, age)] = store.drivers(1)
    assert not dead(found, age, this_driver(60))


def test_a_long_evaluation_keeps_its_lease(url):
    """Asked, evaluated elsewhere for longer than the lease, told: nobody has taken it for lost."""
    space = lu.Space(x=lu.Float(0, 1))
    with (
        lu.Study(space, storage=url, searcher="random", lease=0.8) as one,
        lu.Study(space, storage=url, searcher="random", lease=0.8) as two,
    ):
        one._session.me = replace(one._session.me, host="another machine")
        [trial] = one.ask()
        time.sleep(1.2)
        two.ask()
        two._session.recover()
        assert [e.kind for e in two.events() if e.trial == trial.number] == ["asked", "started"]
        one.tell(trial.number, {"loss": 1.0})
        one.close()
        [state] = [t for t in two.trials if t.number != trial.number]
        assert state.status is lu.Status.RUNNING


def test_drivers_on_a_small_space_propose_nothing_twice(url):
    space = lu.Space(a=lu.Int(0, 4), b=lu.Choice(*"xyz"))
    studies = [lu.Study(space, storage=url, searcher="random", name="small") for _ in range(4)]
    asked = []

    def work(study):
        while found := study.ask():
            asked.append(found[0].config)
            study.tell(found[0].number, {"loss": 0.0})

    threads = [threading.Thread(target=work, args=(study,)) for study in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == len(set(asked)) == 15
    events = studies[0].events()
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert studies[0].replay().differences == []
    for study in studies:
        study.close()


# from SQLite and back


def _filled(tmp_path, names):
    for name in names:
        with lu.Study(
            {"x": lu.Float(0, 1)}, searcher="random", storage=f"sqlite:///{tmp_path}/a.db", name=name
        ) as study:
            study.run(lambda run: float("nan") if run.number == 3 else run.config["x"], trials=12)
            study.note(1, "größer ∞")
    return tmp_path / "a.db"


def test_a_study_moves_there_and_back_as_it_was(url, tmp_path):
    source = _filled(tmp_path, ["one"])
    with convert(str(source), f"{url}#two") as moved, lu.Study.open(source) as first:
        assert repr(moved.events()) == repr(first.events())  # by their texts: NaN is unlike itself
        assert moved.replay().differences == []
        moved.run(lambda run: run.config["x"], trials=15)  # and goes on: numbers follow
        assert [t.number for t in moved.trials] == list(range(15))
        there = digest(moved.events())
    with convert(f"{url}#two", str(tmp_path / "b.db")) as back:
        assert digest(back.events()) == there


def test_all_studies_of_a_store_move(url, tmp_path):
    source = _filled(tmp_path, ["one", "two", "three"])
    done = CliRunner().invoke(app, ["convert", str(source), url, "--all"])
    assert done.exit_code == 0, done.output
    assert "three: " in done.output
    assert "read back as they were" in done.output
    with open_storage(url) as store:
        assert [row.name for row in store.studies()] == ["one", "two", "three"]
        with SQLite(source) as old:
            assert all(digest(store.read(n)) == digest(old.read(n)) for n in (1, 2, 3))


def test_a_copy_that_is_not_the_same_is_an_error(url, tmp_path, monkeypatch):
    source = _filled(tmp_path, ["one"])
    real = postgresql.PostgreSQL.read
    monkeypatch.setattr(postgresql.PostgreSQL, "read", lambda self, study, **more: real(self, study, **more)[:-1])
    with pytest.raises(StorageError, match="does not read back as it was"):
        convert(str(source), url)
