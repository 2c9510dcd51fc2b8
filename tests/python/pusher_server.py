"""The official PyPI `pusher` server SDK, driven by a test: one command per line, one answer per line."""

import json
import sys

import pusher
import pusher.errors

args = json.loads(sys.argv[1])
client = pusher.Pusher(
    app_id=args.get("appId", "demo"), key=args["key"], secret=args["secret"], host=args["host"], port=args["port"], ssl=False)


def emit(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


CALLS = {
    "trigger": lambda c: client.trigger(c["channel"], c["name"], c["data"], c.get("socketId")),
    "triggerBatch": lambda c: client.trigger_batch(c["batch"]),
    "sendToUser": lambda c: client.send_to_user(c["user"], c["name"], c["data"]),
    "terminate": lambda c: client.terminate_user_connections(c["user"]),
    "channels": lambda c: client.channels_info(c.get("prefix"), c.get("attributes", [])),
    "channel": lambda c: client.channel_info(c["channel"], c.get("attributes", [])),
    "users": lambda c: client.users_info(c["channel"]),
    "authenticate": lambda c: client.authenticate(c["channel"], c["socketId"], c.get("data")),
}

for line in sys.stdin:
    command = json.loads(line)
    try:
        emit("done", ok=True, body=CALLS[command["do"]](command))
    except pusher.errors.PusherError as error:
        emit("done", ok=False, kind=type(error).__name__, body=str(error))
