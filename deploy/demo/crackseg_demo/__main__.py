"""`python -m crackseg_demo`: tells the story; CLUSTER chooses the cluster, PHOTOS a folder of photographs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from crackseg_demo import story, terminal


def main() -> int:
    """0 where everything held; else 1, with what did not and what to do."""
    photos = os.environ.get("PHOTOS", "")
    try:
        story.tell(os.environ.get("CLUSTER") or "local", Path(photos).expanduser() if photos else None)
    except terminal.StepFailed as failed:
        print(flush=True)
        terminal.bad(f"the demo ends here, after {terminal.elapsed():.0f} s:")
        terminal.say(str(failed))
        return 1
    except KeyboardInterrupt:
        print(flush=True)
        terminal.bad("interrupted; the cluster is left as it is: make down removes it")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
