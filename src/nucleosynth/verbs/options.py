"""What verbs take without a name, as `--help` and the README call it."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Data = Annotated[Positional[str], arg(metavar="DATA")]
Truth = Annotated[Positional[str], arg(metavar="TRUTH")]
Prediction = Annotated[Positional[str], arg(metavar="PREDICTION")]
Real = Annotated[Positional[str], arg(metavar="REAL")]
Synthetic = Annotated[Positional[str], arg(metavar="SYNTHETIC")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]
RunOrWeights = Annotated[Positional[Path], arg(metavar="RUN|WEIGHTS")]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Method = Annotated[Positional[str], arg(metavar="METHOD")]
RunToBegin = Annotated[str | None, arg(name="from", metavar="RUN")]
MethodOrNone = Annotated[Positional[str | None], arg(metavar="METHOD")]
