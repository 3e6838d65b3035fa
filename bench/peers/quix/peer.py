"""One run of a workload on Quix Streams, default settings. The job is the first argument, as JSON; what it says is what the other programs say."""

import json
import struct
import sys
import threading
import warnings

warnings.showwarning = lambda *args, **kwargs: None  # of its packages, about each other

from quixstreams import Application
from quixstreams.models.serializers import Serializer

job = json.loads(sys.argv[1])
taken = 0


def say(what):
    print('{"%s":true}' % what, flush=True)


def on_processed(topic, partition, offset):
    global taken
    taken += 1
    # To stop is to flush and commit: nobody is measured by the clock of commits.
    if taken == job["streamed"]:
        app.stop()


class Peer(Application):
    def _on_assign(self, *args):
        super()._on_assign(*args)  # state is recovered in there
        say("began")
        say("ready")


app = Peer(
    broker_address=",".join(job["brokers"]),
    consumer_group=job["group"],
    auto_offset_reset="earliest",
    state_dir=job["stateDir"],
    processing_guarantee=job["guarantee"],
    on_message_processed=on_processed,
    loglevel="WARNING",
)


def source(value="bytes"):
    topic = app.topic(job["inputs"][0], key_deserializer="bytes", value_deserializer=value)
    return app.dataframe(topic)


def write(frame, value="bytes", key=None):
    frame.to_topic(app.topic(job["output"], key_serializer="bytes", value_serializer=value), key=key)


def read():
    write(source().filter(lambda value, key, time, headers: key == b"7", metadata=True))


def change():
    write(source("json").apply(lambda o: {**o, "amount": o["amount"] * 2, "checked": True}), "json")


def count():
    def add(value, state):
        total = state.get("count", 0) + 1
        state.set("count", total)
        return struct.pack(">q", total)

    write(source().apply(add, stateful=True))


class Count(Serializer):
    """Of a window's row: its count as a Java long."""

    def __call__(self, row, ctx):
        return struct.pack(">q", row["value"])


def window():
    def named(row, key, time, headers):
        return {**row, "key": b"%s@%d" % (key, row["start"])}

    counted = source().tumbling_window(duration_ms=60_000).count().current()
    write(counted.apply(named, metadata=True), Count(), lambda row: row["key"])


WORKLOADS = {"read": read, "pass": lambda: write(source()), "json": change, "count": count, "window": window}
WORKLOADS[job["workload"]]()


def told():
    sys.stdin.read()
    app.stop()


threading.Thread(target=told, daemon=True).start()
app.run()
