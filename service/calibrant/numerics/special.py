"""Special functions of scipy, loaded at the first call.

`scipy.special` takes a fifth of the time in which the API is imported, and nothing needs it before
the first report.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike


def bdtr(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """Return P(X <= k) of a binomial."""
    from scipy import special

    return special.bdtr(k, n, p)


def bdtrc(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """Return P(X > k) of a binomial."""
    from scipy import special

    return special.bdtrc(k, n, p)


def bdtrik(y: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """Return the real k at which the binomial distribution function is y."""
    from scipy import special

    return special.bdtrik(y, n, p)


def betaincc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Any:
    """Return the upper regularised incomplete beta function."""
    from scipy import special

    return special.betaincc(a, b, x)


def betaincinv(a: ArrayLike, b: ArrayLike, y: ArrayLike) -> Any:
    """Return the quantile y of a beta distribution."""
    from scipy import special

    return special.betaincinv(a, b, y)


def chdtrc(v: ArrayLike, x: ArrayLike) -> Any:
    """Return P(X > x) of a chi-squared with v degrees of freedom."""
    from scipy import special

    return special.chdtrc(v, x)


def erfc(x: ArrayLike) -> Any:
    """Return the complementary error function."""
    from scipy import special

    return special.erfc(x)


def expit(x: ArrayLike) -> Any:
    """Return the logistic function."""
    from scipy import special

    return special.expit(x)


def ndtri(p: ArrayLike) -> Any:
    """Return the quantile p of a standard normal."""
    from scipy import special

    return special.ndtri(p)


def stdtr(df: ArrayLike, t: ArrayLike) -> Any:
    """Return P(T <= t) of Student's t."""
    from scipy import special

    return special.stdtr(df, t)


def stdtrit(df: ArrayLike, p: ArrayLike) -> Any:
    """Return the quantile p of Student's t."""
    from scipy import special

    return special.stdtrit(df, p)
