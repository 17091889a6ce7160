"""Answers well a few times (argument 2), then does what argument 1 says."""

import json
import os
import signal
import subprocess
import sys
import time

how, good = sys.argv[1], int(sys.argv[2])
if how == "ignores_sigterm":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeping = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-S", "-c", sleeping, sys.argv[3]])
if how == "leaves_a_child":
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)", sys.argv[3]], start_new_session=True)
for number, line in enumerate(sys.stdin):
    reply = json.dumps(["yes"] * len(json.loads(line)))
    if number < good:
        print(reply, flush=True)
    elif how in ("hangs", "ignores_sigterm", "leaves_a_child"):
        if len(sys.argv) > 4:  # whoever waits for it may know
            open(sys.argv[4], "w").close()
        time.sleep(600)
    elif how == "dies":
        print("out of something", file=sys.stderr)
        os._exit(3)
    elif how == "is_killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "garbage":
        print("[yes, no", flush=True)
    elif how == "answers_short":
        print(json.dumps(["yes"]), flush=True)
    elif how == "answers_twice":
        print(reply + "\n" + reply, flush=True)
    elif how == "answers_twice_late":
        print(reply, flush=True)
        time.sleep(0.2)
        print(reply, flush=True)
    elif how == "floods":
        while True:
            print("x" * 60_000)
    elif how == "floods_one_line":
        while True:
            sys.stdout.write("x" * 60_000)
    elif how == "floods_stderr":
        print("x" * 3_000_000, file=sys.stderr, flush=True)
        print(reply, flush=True)
    elif how == "closes_stdout":
        os.close(1)
        time.sleep(600)
    elif how == "gives_up":
        print("Efficiency benchmark exception: SubprocessError\nTraceback: no luck", flush=True)
