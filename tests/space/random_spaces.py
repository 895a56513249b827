"""Random spaces for hypothesis."""

from hypothesis import strategies as st

from luthier.base.errors import SpaceError
from luthier.space import Beta, Choice, Fixed, Float, Int, Normal, Ordinal, Space, all_of, any_of

VALUES = st.sampled_from(["a", "b", "relu", 0, 1, 1.0, True, False, None, 2.5, -3])


@st.composite
def numbers(draw, when):
    log = draw(st.booleans())
    whole = draw(st.booleans())
    stepped = draw(st.booleans())
    prior = draw(st.sampled_from([None, None, None, Normal, Beta]))
    if whole:
        low = draw(st.integers(1 if log else -1000, 1000))
        step = draw(st.integers(1, 7)) if stepped else None
        high = low + (step or 1) * draw(st.sampled_from([1, 2, 3, 10, 1000, 100_000]))
        made = Normal((low + high) / 2, 1.0) if prior is Normal else Beta(2, 3) if prior is Beta else None
        return Int(low, high, log=log, step=step, when=when, prior=made)
    low = draw(st.floats(1e-8 if log else -1e6, 1e6))
    if stepped:
        step = draw(st.sampled_from([0.1, 0.25, 1.0, 0.003]))
        low = round(low, 2) + (1.0 if log else 0.0)
        high = low + step * draw(st.integers(1, 200))
    else:
        step, high = None, low + draw(st.floats(1e-3, 1e6))
    made = Normal(high, (high - low) / 3) if prior is Normal and not log else Beta(2, 3) if prior is Beta else None
    return Float(low, high, log=log, step=step, when=when, prior=made)


@st.composite
def domains(draw, when):
    kind = draw(st.sampled_from(["number", "number", "choice", "ordinal", "fixed"]))
    if kind == "number":
        return draw(numbers(when))
    if kind == "fixed":
        return Fixed(draw(VALUES), when=when)
    values = draw(st.lists(VALUES, min_size=1, max_size=5, unique_by=lambda value: (type(value), value)))
    return (Choice if kind == "choice" else Ordinal)(*values, when=when)


@st.composite
def conditions(draw, made):
    def leaf():
        parent = draw(st.sampled_from(sorted(made)))
        domain = made[parent]
        if isinstance(domain, (Float, Int)):
            # at, beside and between the values
            bound = draw(st.sampled_from([domain.low, domain.default, domain.high]))
            return (parent, draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="])), bound)
        values = list(getattr(domain, "values", [domain.default]))
        if isinstance(domain, Ordinal) and draw(st.booleans()):
            return (parent, draw(st.sampled_from(["<", "<=", ">", ">="])), draw(st.sampled_from(values)))
        return (parent, draw(st.sampled_from(["in", "not in"])), draw(st.lists(st.sampled_from(values), min_size=1)))

    shape = draw(st.sampled_from(["one", "one", "all", "any"]))
    if shape == "one":
        return leaf()
    return (all_of if shape == "all" else any_of)(leaf(), any_of(leaf(), leaf()))


@st.composite
def spaces(draw, most=5, forbid=True):
    made = {}
    for i in range(draw(st.integers(1, most))):
        when = draw(conditions(made)) if made and draw(st.booleans()) else None
        made[f"h{i}"] = draw(domains(when))
    clauses = []
    if forbid and draw(st.booleans()):
        clauses.append(draw(conditions(made)))
    try:
        return Space(made, forbid=clauses)
    except SpaceError as error:
        if "the default configuration is forbidden" not in str(error):
            raise
        return Space(made)
