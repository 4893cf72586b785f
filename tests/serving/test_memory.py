"""What the process holds beside what it uses, in a process of its own: the C library is settled before anything else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.serving.process import environment

pytestmark = pytest.mark.serving

#: Arrays of half a megabyte, as pictures of all sizes leave them: between each two that are dropped one stays.
PROGRAM = """
import json, time
from crackseg_serving import memory
memory.settle()
import numpy as np
from crackseg_serving.admission import Admission, Ticket

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

LIMIT = {limit} << 20
kept, dropped = [], []
for _ in range(600):
    dropped.append(np.ones(1 << 19, np.uint8))
    kept.append(np.ones(1 << 10, np.uint8))
del dropped
found = [resident()]
admission = Admission(max_requests=1, memory=LIMIT, timeout=60, reserve=memory.Reserve(LIMIT))
for size in {sizes}:
    with admission.image(size << 20, Ticket(time.monotonic() + 60)):
        found.append(resident())
print(json.dumps(found))
"""


#: A model of 300 MB, and pictures before and after it is there.
BESIDE = """
import json, time
from crackseg_serving import memory
memory.settle()
import numpy as np
from crackseg_serving.admission import Admission, Ticket
from crackseg_serving.failures import Refused

LIMIT = 600 << 20
admission = Admission(max_requests=1, memory=LIMIT, timeout=60, reserve=memory.Reserve(LIMIT))

def take(size):
    try:
        with admission.image(size << 20, Ticket(time.monotonic() + 60)):
            return "taken"
    except Refused as refused:
        return refused.message

found = [take(400)]
model = np.ones(300 << 20, np.uint8)
found += [take(400), take(60)]
del model
found.append(take(400))
print(json.dumps(found))
"""


def test_pictures_have_what_the_model_leaves():
    done = subprocess.run([sys.executable, "-c", BESIDE], check=True, capture_output=True, text=True, env=environment())
    alone, beside, small, again = json.loads(done.stdout)
    assert (alone, small, again) == ("taken", "taken", "taken")
    assert "needs about 400 MiB" in beside
    assert "higher memory limit" in beside


def resident(limit: int, *sizes: int) -> list[int]:
    """Megabytes after the arrays were dropped, and in each picture of so many megabytes that came then."""
    program = PROGRAM.format(limit=limit, sizes=sizes)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment()
    )
    found: list[int] = json.loads(done.stdout)
    return found


def test_what_pictures_left_between_others_is_given_back_before_a_large_one_needs_it():
    before, after = resident(500, 100)
    assert before > 300
    assert after < before - 200


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        pytest.param(500, 4, id="small pictures find it where it is"),
        pytest.param(4000, 100, id="a container with much room is not tidied for nothing"),
    ],
)
def test_what_nobody_misses_is_kept_for_the_next(limit: int, size: int):
    before, after = resident(limit, size)
    assert after > before - 50
