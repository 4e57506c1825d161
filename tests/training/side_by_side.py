"""Two processes of one training, without what torchrun imports for itself: `side_by_side.py PORT ARGUMENTS OF PYTHON`."""

import os
import subprocess
import sys
import time

port, *arguments = sys.argv[1:]
shared = {**os.environ, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
running = [
    subprocess.Popen([sys.executable, *arguments], env={**shared, "RANK": rank, "LOCAL_RANK": rank})
    for rank in ("0", "1")
]
codes: list[int | None] = [None, None]
while None in codes and not any(codes):  # the other waits for one that has failed for ever
    time.sleep(0.02)
    codes = [process.poll() for process in running]
for process in running:
    if process.poll() is None:
        process.kill()
    process.wait()
sys.exit(int(any(codes)))
