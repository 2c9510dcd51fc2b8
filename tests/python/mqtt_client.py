"""paho-mqtt, driven by a test. The vocabulary is that of js/mqtt.mjs: see there."""

import base64
import json
import os
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

args = json.loads(sys.argv[1])
v5 = args.get("version", 5) == 5
lock = threading.Lock()


def emit(event, **fields):
    with lock:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


NAMES = {
    "contentType": "ContentType",
    "responseTopic": "ResponseTopic",
    "messageExpiryInterval": "MessageExpiryInterval",
    "sessionExpiryInterval": "SessionExpiryInterval",
    "payloadFormatIndicator": "PayloadFormatIndicator",
    "receiveMaximum": "ReceiveMaximum",
    "willDelayInterval": "WillDelayInterval",
    "topicAlias": "TopicAlias",
}


def properties(kind, values):
    if not v5 or not values:
        return None
    result = Properties(kind)
    for key, value in values.items():
        if key == "userProperties":
            result.UserProperty = [tuple(pair) for pair in value]
        elif key == "correlationData":
            result.CorrelationData = base64.b64decode(value)
        elif key == "subscriptionIdentifier":
            result.SubscriptionIdentifier = value
        else:
            setattr(result, NAMES[key], value)
    return result


def shown(values):
    if values is None:
        return {}
    result = {}
    for key, name in NAMES.items():
        if hasattr(values, name):
            result[key] = getattr(values, name)
    if hasattr(values, "CorrelationData"):
        result["correlationData"] = base64.b64encode(values.CorrelationData).decode()
    if hasattr(values, "UserProperty"):
        result["userProperties"] = [list(pair) for pair in values.UserProperty]
    if hasattr(values, "SubscriptionIdentifier"):
        result["subscriptionIdentifier"] = values.SubscriptionIdentifier
    return result


def code(reason):
    return reason.value if hasattr(reason, "value") else int(reason)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=args.get("clientId", ""),
    protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
    transport="websockets" if args.get("websocket") else "tcp",
    manual_ack=args.get("manualAck", False),
    reconnect_on_failure=args.get("reconnect", False),
    **({} if v5 else {"clean_session": args.get("clean", True)}),
)
if args.get("websocket"):
    client.ws_set_options(path=args.get("path", "/mqtt"))
if args.get("username") is not None:
    client.username_pw_set(args["username"], args.get("password"))
if args.get("ca"):
    client.tls_set(ca_certs=args["ca"])
if args.get("will"):
    will = args["will"]
    client.will_set(
        will["topic"], will["payload"], will.get("qos", 0), will.get("retain", False),
        properties(PacketTypes.WILLMESSAGE, will.get("properties")),
    )
client.max_inflight_messages_set(args.get("inflight", 20))
client.max_queued_messages_set(0)

client.on_connect = lambda c, u, flags, reason, props: emit(
    "connected", code=code(reason), sessionPresent=flags.session_present, properties=shown(props))
client.on_connect_fail = lambda c, u: emit("failed")
client.on_disconnect = lambda c, u, flags, reason, props: emit("disconnected", code=code(reason))
client.on_subscribe = lambda c, u, mid, reasons, props: emit("subscribed", codes=[code(reason) for reason in reasons])
client.on_unsubscribe = lambda c, u, mid, reasons, props: emit("unsubscribed", codes=[code(reason) for reason in reasons])
client.on_publish = lambda c, u, mid, reason, props: emit("published", mid=mid, code=code(reason))


def on_message(c, u, message):
    emit(
        "message", topic=message.topic, payload=base64.b64encode(message.payload).decode(), qos=message.qos,
        retain=bool(message.retain), dup=bool(message.dup),
        properties=shown(getattr(message, "properties", None)) if v5 else {},
    )
    if args.get("manualAck"):
        c.ack(message.mid, message.qos)


client.on_message = on_message

connect = {"clean_start": args.get("clean", True)} if v5 else {}
client.connect(
    args.get("host", "127.0.0.1"), args["port"], keepalive=args.get("keepalive", 60),
    properties=properties(PacketTypes.CONNECT, args.get("properties")), **connect)
client.loop_start()

for line in sys.stdin:
    command = json.loads(line)
    do = command["do"]
    if do == "subscribe":
        if v5:
            options = SubscribeOptions(
                qos=command.get("qos", 0), noLocal=command.get("nl", False), retainAsPublished=command.get("rap", False),
                retainHandling=command.get("rh", 0))
            client.subscribe(command["topic"], options=options, properties=properties(PacketTypes.SUBSCRIBE, command.get("properties")))
        else:
            client.subscribe(command["topic"], command.get("qos", 0))
    elif do == "unsubscribe":
        client.unsubscribe(command["topic"])
    elif do == "publish":
        client.publish(
            command["topic"], base64.b64decode(command["payload"]), command.get("qos", 0), command.get("retain", False),
            properties(PacketTypes.PUBLISH, command.get("properties")))
    elif do == "burst":
        for n in range(command["from"], command["to"]):
            client.publish(command["topic"], str(n), command.get("qos", 0))
    elif do == "disconnect":
        client.disconnect()
    elif do == "die":
        os._exit(0)
client.disconnect()
client.loop_stop()
