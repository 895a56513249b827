"""figures: a table in, a plotly figure out, as plain dictionaries. Nothing is computed here but places on paper."""

from luthier.report.figures.brackets import brackets_figure
from luthier.report.figures.contours import contour_figures
from luthier.report.figures.coverage import coverage_figure
from luthier.report.figures.curves import curves_figure, rungs_figure
from luthier.report.figures.genealogy import genealogy_figure, schedule_figures
from luthier.report.figures.history import history_figure
from luthier.report.figures.importance import ablation_figure, importance_figure
from luthier.report.figures.outer_steps import outer_figures
from luthier.report.figures.parallel import parallel_figure
from luthier.report.figures.pareto import hypervolume_figure, pareto_figures
from luthier.report.figures.slices import slice_figures
from luthier.report.figures.stopping import overtuned_figure, stopping_figure, tuning_curve_figure
from luthier.report.figures.timeline import timeline_figure

__all__ = [
    "ablation_figure",
    "brackets_figure",
    "contour_figures",
    "coverage_figure",
    "curves_figure",
    "genealogy_figure",
    "history_figure",
    "hypervolume_figure",
    "importance_figure",
    "outer_figures",
    "overtuned_figure",
    "parallel_figure",
    "pareto_figures",
    "rungs_figure",
    "schedule_figures",
    "slice_figures",
    "stopping_figure",
    "timeline_figure",
    "tuning_curve_figure",
]
