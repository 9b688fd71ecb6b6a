"""Evaluate: rows in, a report out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, Unusable
from calibrant.numerics.ranked import ascending, auroc, auroc_by_slice, equal_mass_bins, rank
from calibrant.numerics.rows import Rows
from calibrant.numerics.table import Bins, tabulate
from calibrant.operations.evaluate import gates, notes, optional, slicing, verdict
from calibrant.operations.evaluate.classes import MOST_CELLS, ByClass, by_class
from calibrant.operations.evaluate.collect import (
    AnyCalibrator,
    Chunks,
    Collected,
    Progress,
    Source,
    collect,
)
from calibrant.operations.evaluate.compare import Known, Losses, Paired, candidate_names, compare
from calibrant.operations.evaluate.diagrams import diagrams
from calibrant.operations.evaluate.measure import (
    Measured,
    add_slopes,
    figures,
    measure,
    number,
    smallest_detectable,
    without_losses,
)
from calibrant.operations.evaluate.periods import split
from calibrant.operations.evaluate.report import (
    ALL,
    IDENTITY,
    ROWS_ONLY,
    SCORE_BAND,
    Comparison,
    Diagram,
    EvaluateSpec,
    Metrics,
    Note,
    PeriodReport,
    Report,
    SliceReport,
    no_metrics,
    requested,
)
from calibrant.operations.evaluate.slicing import Dimension
from calibrant.operations.evaluate.worst import SHOWN, worst_slices

Stage: TypeAlias = Literal["reported", "raw"]
Binning: TypeAlias = Literal["equal_width", "equal_mass"]


def evaluate(
    chunks: Chunks,
    spec: EvaluateSpec,
    candidates: Mapping[str, AnyCalibrator] | None = None,
    *,
    n_rows: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Report on the calibration of scores.

    Parameters
    ----------
    chunks : callable
        Returns a fresh iterator over the same chunks of rows each time: candidates, raw scores
        and classes are read in passes of their own, so that rows need not fit into memory.
    spec : EvaluateSpec
    candidates : mapping of name to calibrator
        Every calibrator that `spec` names, except `identity`.
    n_rows : int, optional
        Rows in all chunks; counted by a pass of its own where not given.
    seed : int
        Of the draws behind noise floors; equal seeds give equal reports.
    progress : callable, optional
        Called with the rows read, the rows in all, and what is being done.

    Returns
    -------
    Report

    Raises
    ------
    BadBatch
        If rows cannot be used.
    Unusable
        If the spec asks for what these rows, or any rows, cannot give.

    Notes
    -----
    About 33 bytes a row are held, and 4 more a dimension.
    """
    known = dict(candidates or {})
    baseline = _check(spec, known)
    total = sum(map(len, chunks())) if n_rows is None else n_rows
    subject = spec.calibrator or IDENTITY
    names = candidate_names(baseline or subject, spec.candidates if baseline else (), subject)
    sources = {
        name: Source(chunks, total, spec.task, spec.score_kind, known.get(name)) for name in names
    }
    return _Evaluation(spec, sources, subject, baseline, seed, progress).report()


def _check(spec: EvaluateSpec, known: Mapping[str, AnyCalibrator]) -> str | None:
    """Refuse what cannot be done before any row is read; return the baseline, if one is needed."""
    requested(spec.options.metrics)
    gates.check(spec)
    named = {*spec.candidates, spec.calibrator, spec.baseline} - {None, IDENTITY}
    if missing := [name for name in named if name not in known]:
        raise Unusable(f"{len(missing)} of the named calibrators are not given.")
    tolerance = spec.options.tolerance
    if tolerance is not None and not 0 <= tolerance < 1:
        raise Unusable(
            "`tolerance` must lie in [0, 1).", [Detail("/options/tolerance", "outside [0, 1)")]
        )
    baselines = {gate.baseline for gate in spec.gates} - {None}
    if spec.baseline is not None:
        baselines.add(spec.baseline)
    if len(baselines) > 1:
        raise Unusable("An evaluation has one `baseline`; its gates must name the same.")
    if not baselines and not spec.candidates:
        return None
    baseline = next(iter(baselines), None) or IDENTITY
    if {*spec.candidates, spec.calibrator or IDENTITY} <= {baseline}:
        raise Unusable("There is nothing to compare with the `baseline`: name `candidates`.")
    return baseline


@dataclass(slots=True, eq=False)
class _Cut:
    """One dimension with what is measured of its slices."""

    dimension: Dimension
    measured: Measured

    def figures(self, rows: Rows, names: Sequence[str], seed: int) -> tuple[Metrics, ...]:
        """Return the metrics of every slice."""
        found = figures(self.measured, self.dimension.unlabelled, seed=seed)
        return optional.add_to_slices(found, rows, self.dimension.codes, names)


@dataclass(slots=True, eq=False)
class _Periods:
    """Rows by time: how long a period is, where each begins and ends."""

    length: str
    ends: tuple[tuple[str, str], ...]
    cut: _Cut


class _Evaluation:
    """The steps of one evaluation, in an order that lets go of columns early."""

    def __init__(
        self,
        spec: EvaluateSpec,
        sources: Mapping[str, Source],
        subject: str,
        baseline: str | None,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.spec, self.sources, self.subject, self.baseline = spec, sources, subject, baseline
        self.seed, self.progress = seed, progress
        self.source = sources[subject]
        self.optional = requested(spec.options.metrics)
        self.weights: NDArray[np.float64] | None = None
        self.notes: list[Note] = []
        self.pictures: list[Diagram] = []

    def report(self) -> Report:
        """Return the report."""
        held = collect(
            self.source,
            keep_wrong="most_confident_wrong" in self.optional,
            progress=self.progress,
        )
        self.notes += notes.about_rows(held)
        if held.rows is None:
            return self._empty(held)
        self._say("counting")
        rows = held.rows
        everything = self._measure(rows, None, 1, held)
        cuts = [_Cut(d, self._measure(rows, d.codes, len(d), held)) for d in self._cut(held)]
        periods = self._periods(held)
        losses = Losses.of(rows) if self.baseline else None
        self.weights = rows.weights
        rows = without_losses(rows)  # from here on scores, outcomes and labels are enough
        held = replace(held, rows=None)
        every_cut = cuts if periods is None else [*cuts, periods.cut]
        self._say("ranking")
        classes = self._rank(rows, everything, every_cut)
        self._say("fitting slopes")
        add_slopes(everything, rows, None, clusters=held.clusters)
        for cut in every_cut:
            add_slopes(cut.measured, rows, cut.dimension.codes, clusters=held.clusters)
        metrics = self._metrics(everything, held, rows, classes)
        slices = self._slices(cuts, rows)
        by_period = self._period_reports(periods, rows)
        self._draw(everything.bins, metrics, cuts, slices)
        n_classes = rows.n_classes
        del rows
        self._draw_raw(cuts)
        known = None if losses is None else Known(metrics, losses)
        comparison = self._compare(held, cuts, slices, known)
        limit = verdict.tolerance(metrics, self.spec.options.tolerance)
        task = self.spec.task
        worst = worst_slices(slices, [c.measured.gap for c in cuts], task=task, limit=limit)
        judged = verdict.judge(
            metrics,
            worst,
            slices,
            task=task,
            limit=limit,
            smallest=smallest_detectable(everything),
        )
        return Report(
            verdict=judged,
            task=task,
            n_classes=n_classes,
            calibrator=self.spec.calibrator,
            metrics=metrics,
            slices=slices,
            worst_slices=worst[:SHOWN],
            gates=gates.decide(
                self.spec.gates,
                metrics=metrics,
                slices=slices,
                comparison=comparison,
                subject=self.spec.calibrator,
            ),
            comparison=comparison,
            period=None if periods is None else periods.length,
            periods=by_period,
            notes=tuple(self.notes),
            optional_metrics=self.optional,
            diagrams=tuple(self.pictures),
        )

    def _say(self, doing: str) -> None:
        if self.progress is not None:
            self.progress(self.source.n_rows, self.source.n_rows, doing)

    def _measure(
        self, rows: Rows, codes: NDArray[np.int32] | None, n_slices: int, held: Collected
    ) -> Measured:
        return measure(rows, codes, n_slices, clusters=held.clusters, seed=self.seed)

    def _cut(self, held: Collected) -> tuple[Dimension, ...]:
        """Return declared dimensions, crosses and score bands, folded to the limit."""
        assert held.rows is not None
        options = self.spec.options
        if SCORE_BAND in held.slices:
            raise Unusable(f"A dimension cannot be called `{SCORE_BAND}`: every report has one.")
        found = [slicing.declared(name, *pair) for name, pair in held.slices.items()]
        found += [
            slicing.crossed(parts, held.slices, pointer=f"/options/crosses/{i}")
            for i, parts in enumerate(options.crosses)
        ]
        found.append(slicing.bands(held.rows.score, held.unlabelled))
        dimensions, folded = slicing.folded(found, limit=options.max_slices)
        self.notes += folded
        return dimensions

    def _periods(self, held: Collected) -> _Periods | None:
        """Cut the rows by time."""
        if held.time is None or held.rows is None:
            return None
        time, without = held.time
        known = ~np.isnat(time)
        if not known.any():
            return None
        if missing := int((~known).sum()):
            reason = f"{missing:,} rows have no time: they are in no period."
            self.notes.append(Note(code="no_time", pointer="/periods", reason=reason))
        without = without[~np.isnat(without)]
        length, found, ends = split(
            np.concatenate([time[known], without]), self.spec.options.period
        )
        codes = np.full(len(time), -1, dtype=np.int32)
        codes[known] = found[: int(known.sum())]
        unlabelled = np.bincount(found[int(known.sum()) :], minlength=len(ends))
        dimension = Dimension("period", codes, tuple(start for start, _ in ends), unlabelled)
        return _Periods(
            length, ends, _Cut(dimension, self._measure(held.rows, codes, len(ends), held))
        )

    def _rank(self, rows: Rows, everything: Measured, cuts: Sequence[_Cut]) -> ByClass | None:
        """Sort the scores: equal-mass diagram and AUROC of all rows and of every slice."""
        ranked = rank(rows.score, rows.outcome, rows.weights)
        self._picture(equal_mass_bins(ranked), (ALL,), "reported", "equal_mass")
        if rows.task == "binary":
            everything.auroc = np.array([auroc(ranked)])
            del ranked
            order = ascending(rows.score)
            for cut in cuts:
                codes = cut.dimension.codes
                cut.measured.auroc = auroc_by_slice(
                    rows.score, rows.outcome, codes, len(cut.measured), rows.weights, order=order
                )
            return None
        del ranked
        more = {"ece_classwise", "classification_report"} & set(self.optional)
        classes = by_class(self.source, rows, [cut.dimension for cut in cuts], more=bool(more))
        everything.auroc = np.array([classes.macro_auroc])
        for cut, areas in zip(cuts, classes.sliced, strict=True):
            cut.measured.auroc = areas
        return classes

    def _metrics(
        self, everything: Measured, held: Collected, rows: Rows, classes: ByClass | None
    ) -> Metrics:
        """Return the metrics of all rows, and say what is missing."""
        metrics = figures(everything, [len(held.unlabelled)], seed=self.seed)[0]
        metrics = optional.add(metrics, rows, self.optional)
        if classes is not None and "ece_classwise" in self.optional:
            metrics = replace(metrics, ece_classwise=number(classes.ece.mean()))
        if "classification_report" in self.optional:
            areas = None if classes is None else classes.auprc
            made = optional.classification(rows, areas)
            metrics = replace(metrics, classification_report=made)
        if "most_confident_wrong" in self.optional:
            metrics = replace(metrics, most_confident_wrong=held.wrong)
        self.notes += notes.missing(
            [metrics],
            (ALL,),
            everything.slopes,
            pointer="/metrics",
            optional=self.optional,
            too_large=classes is not None and len(rows) * rows.n_classes > MOST_CELLS,
        )
        return metrics

    def _slices(self, cuts: Sequence[_Cut], rows: Rows) -> tuple[SliceReport, ...]:
        reports: list[SliceReport] = []
        for cut in cuts:
            found = cut.figures(rows, self.optional, self.seed)
            dimension = cut.dimension
            self._note_missing(found, dimension.names, cut, "/slices", rows)
            reports += [
                SliceReport(name=name, dimension=dimension.name, metrics=metrics)
                for name, metrics in zip(dimension.names, found, strict=True)
            ]
        return tuple(reports)

    def _period_reports(self, periods: _Periods | None, rows: Rows) -> tuple[PeriodReport, ...]:
        if periods is None:
            return ()
        found = periods.cut.figures(rows, self.optional, self.seed)
        self._note_missing(
            found, [start for start, _ in periods.ends], periods.cut, "/periods", rows
        )
        return tuple(
            PeriodReport(start=start, end=end, metrics=metrics)
            for (start, end), metrics in zip(periods.ends, found, strict=True)
        )

    def _note_missing(
        self, found: Sequence[Metrics], names: Sequence[str], cut: _Cut, pointer: str, rows: Rows
    ) -> None:
        slopes = cut.measured.slopes
        by_slice = [name for name in self.optional if name not in ROWS_ONLY]
        if rows.task == "multiclass" and "ece_classwise" in by_slice:
            by_slice.remove("ece_classwise")
            reason = "The mean ECE of the classes is computed for all rows only."
            self.notes.append(Note(code="all_rows_only", pointer=pointer, reason=reason))
        areas = cut.measured.auroc
        self.notes += notes.missing(
            found,
            names,
            slopes,
            pointer=pointer,
            optional=by_slice,
            too_large=rows.task == "multiclass"
            and areas is not None
            and bool(np.isnan(areas).all()),
        )

    def _draw(
        self,
        everything: Bins,
        metrics: Metrics,
        cuts: Sequence[_Cut],
        slices: Sequence[SliceReport],
    ) -> None:
        """Draw the scores that the report is about."""
        self._picture(everything, (ALL,), "reported", known=[metrics])
        done = 0
        for cut in cuts:
            own = slices[done : done + len(cut.dimension)]
            done += len(own)
            known = [slice_.metrics for slice_ in own]
            self._picture(cut.measured.bins, cut.dimension.names, "reported", known=known)

    def _draw_raw(self, cuts: Sequence[_Cut]) -> None:
        """Draw the scores before the calibrator, in the slices of the report."""
        if self.subject == IDENTITY:
            return
        self._say("reading scores before calibration")
        rows = collect(replace(self.source, calibrator=None), columns=False).rows
        assert rows is not None
        for cut in cuts:
            # a score band holds other rows before calibration: it has no raw counterpart
            if cut.dimension.name != SCORE_BAND:
                codes, size = cut.dimension.codes, len(cut.dimension)
                table = tabulate(rows.score, rows.outcome, rows.weights, codes=codes, n_slices=size)
                self._picture(table.bins(), cut.dimension.names, "raw")
        self._picture(tabulate(rows.score, rows.outcome, rows.weights).bins(), (ALL,), "raw")
        by_mass = equal_mass_bins(rank(rows.score, rows.outcome, rows.weights))
        self._picture(by_mass, (ALL,), "raw", "equal_mass")

    def _picture(
        self,
        bins: Bins,
        names: Sequence[str],
        stage: Stage,
        binning: Binning = "equal_width",
        *,
        known: Sequence[Metrics] | None = None,
    ) -> None:
        self.pictures += diagrams(
            bins,
            names,
            task=self.spec.task,
            stage=stage,
            binning=binning,
            seed=self.seed,
            known=known,
        )

    def _compare(
        self,
        held: Collected,
        cuts: Sequence[_Cut],
        slices: tuple[SliceReport, ...],
        known: Known | None,
    ) -> Comparison | None:
        if self.baseline is None or known is None:
            return None
        self._say("comparing")
        paired = Paired(
            self.weights,
            held.clusters,
            tuple(cut.dimension for cut in cuts),
            slices,
            len(held.unlabelled),
            self.optional,
            self.seed,
        )
        return compare(self.sources, self.baseline, paired, {self.subject: known})

    def _empty(self, held: Collected) -> Report:
        """Return the report of rows without a single label."""
        metrics = no_metrics(len(held.unlabelled))
        limit = verdict.tolerance(metrics, self.spec.options.tolerance)
        judged = verdict.judge(metrics, (), (), task=self.spec.task, limit=limit, smallest=None)
        self.notes.append(
            Note(code="empty", pointer="/metrics", reason="There is no labelled row.")
        )
        return Report(
            verdict=judged,
            task=self.spec.task,
            n_classes=2 if self.spec.task == "binary" else 0,
            calibrator=self.spec.calibrator,
            metrics=metrics,
            slices=(),
            worst_slices=(),
            gates=gates.undecided(self.spec.gates, self.spec.calibrator),
            comparison=None,
            period=None,
            periods=(),
            notes=tuple(self.notes),
            optional_metrics=self.optional,
            diagrams=(),
        )
