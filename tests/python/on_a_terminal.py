"""Runs a program whose standard output and error are a terminal: {"command": [...], "feed": "line"?, "until": "text"?}.

With `feed`, that line is written to its standard input again and again, fifty at a time, until `until` has appeared on the terminal; then its input
ends. Without, its input is empty. Reports {"event": "ended", "status": N, "output": TEXT}: all that the terminal was sent.
"""

import json
import os
import pty
import select
import subprocess
import sys

arguments = json.loads(sys.argv[1])
master, slave = pty.openpty()
environment = {name: value for name, value in os.environ.items() if not name.startswith("RATATOSK") and name != "NO_COLOR"}
environment["TERM"] = "xterm"
process = subprocess.Popen(arguments["command"], stdin=subprocess.PIPE, stdout=slave, stderr=slave, env=environment)
os.close(slave)
os.set_blocking(process.stdin.fileno(), False)
line = ((arguments["feed"] + "\n") * 50).encode() if "feed" in arguments else None
until = arguments.get("until", "").encode()
output, hungry = b"", line is not None
if not hungry:
    process.stdin.close()
while True:
    readable, writable, _ = select.select([master], [process.stdin] if hungry else [], [])
    if readable:
        try:
            part = os.read(master, 65536)
        except OSError:  # the terminal is gone with its last user
            part = b""
        if not part:
            break
        output += part
        if hungry and until in output:
            hungry = False
            process.stdin.close()
    elif writable:
        try:
            os.write(process.stdin.fileno(), line)
        except BlockingIOError:
            pass
print(json.dumps({"event": "ended", "status": process.wait(), "output": output.decode()}), flush=True)
