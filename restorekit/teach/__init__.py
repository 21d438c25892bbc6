"""What pages need and readers never have to read: figures with alt text, steppers and explorers, checks, claims, exercises.

No pyplot, no global state but the size switch RESTOREKIT_SIZE. Every widget also carries a static picture or text, so
that a page reads without a live front end, and a test can drive it: `drive_all()`, `verify_exercises()`.
"""

from ._picture import Picture, canvas, picture
from .cards import card, measure_page
from .checks import check, check_range, claim, parity
from .exercises import exercise, live_exercises, verify_exercises
from .explorer import Control, explore
from .figures import compare, show, show_kernels
from .painting import default_strokes, paint, rasterize
from .panel import drive_all, live_widgets
from .plots import plot_history, plot_lines
from .questions import predict, quiz
from .sizes import pick, size, size_switch, stamp
from .steps import stepper
from .trace import Trace, filmstrip
from .uploads import upload
from .variants import to_html, variant

__all__ = [
    "Control",
    "Picture",
    "Trace",
    "canvas",
    "card",
    "check",
    "check_range",
    "claim",
    "compare",
    "default_strokes",
    "drive_all",
    "exercise",
    "explore",
    "filmstrip",
    "live_exercises",
    "live_widgets",
    "measure_page",
    "paint",
    "parity",
    "pick",
    "picture",
    "plot_history",
    "plot_lines",
    "predict",
    "quiz",
    "rasterize",
    "show",
    "show_kernels",
    "size",
    "size_switch",
    "stamp",
    "stepper",
    "to_html",
    "upload",
    "variant",
    "verify_exercises",
]
