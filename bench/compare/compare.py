#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Compares hyper-derp with Tailscale's derper: the same loader, the same work, the same cores, in
turns. Prints a table, and writes it as Markdown and JSON, with plots as SVG. See
docs/performance.md for what is measured and how."""

import argparse
import os
import sys
import time

from certificate import Certificate
from figures import (Search, cpu_share, holds, loader_was_the_limit, microseconds, shares)
from network import enter_own_network
from relays import (Derper, Floor, HyperDerp, RelayError, build_derper, machine, raise_file_limit,
                    run_loader)
from results import read_page, update_page, write_results
from tables import FLOOR, OURS, THEIRS, terminal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

LOADS = {
    "bulk": {"pairs": 10, "size": 1400, "burst": 8},
    "light": {"peers": 500, "both-ways": True, "size": 1400, "burst": 1},
    "random": {"peers": 5000, "random": True, "size": 1400, "burst": 1},
}
# Over TLS they are the same.
LOADS.update({"tls_" + name: LOADS[name] for name in ("bulk", "light", "random")})
# Where the searches begin, and the rates at which the whole curve is measured.
FIRST_RATE = {"bulk": 80000.0, "light": 40000.0, "tls_bulk": 60000.0}
SWEEP = {"bulk": (20e3, 40e3, 80e3, 160e3, 320e3, 640e3),
         "light": (5e3, 10e3, 20e3, 40e3, 60e3, 80e3, 100e3, 120e3),
         "tls_bulk": (20e3, 40e3, 80e3, 160e3, 320e3)}
IDLE_COUNTS = (1000, 2500, 5000, 10000)


class Pace:
    """How long and how often things are measured."""

    def __init__(self, quick):
        self.quick = quick
        self.step = 1.12 if quick else 1.05  # of the search
        self.trial = {"warmup": 0.3, "duration": 0.7} if quick else {"warmup": 0.4, "duration": 1.3}
        self.fixed = {"warmup": 0.3, "duration": 1.0} if quick else {"warmup": 0.5, "duration": 4.0}
        self.idle = {"warmup": 0.2, "duration": 0.5} if quick else {"warmup": 0.5, "duration": 1.5}
        # Longer than a minute by as much as derper varies the time of a KeepAlive.
        self.idle_minute = {"warmup": 1.0, "duration": 66.0}
        self.attempts = 1 if quick else 3  # until the loader kept its rate
        # The curves and the floor, which is no competitor, are known well enough after so many.
        self.curve_repetitions = 1 if quick else 2


class Comparison:
    """Measures, and keeps what was measured."""

    def __init__(self, relays, loader, relay_core, loader_core, pace, certificate=None, floor=None):
        self.relays = relays
        self.floor = floor
        self.draws_curves = True  # in this repetition
        self.certificate = certificate  # of the relays with TLS
        self.loader = loader
        self.relay_core, self.loader_core = relay_core, loader_core
        self.pace = pace
        self.values = {}    # by figure and relay: a list, one value a repetition
        self.limited = set()
        self.trials = []    # every run of the loader
        self.faults = []
        self.ciphers = {}   # by relay: the one that was agreed on
        self.best = {}      # by load and relay: the best rate of the last repetition
        self.began = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", file=sys.stderr, flush=True)

    def put(self, key, relay, value):
        self.values.setdefault(key, {}).setdefault(relay, []).append(value)

    def run(self, relay, load, options, cores=None, attempts=1, what="fixed"):
        """One run of the loader; again when the loader itself could not keep the rate."""
        for attempt in range(attempts):
            report = run_loader(self.loader, cores or [self.loader_core], relay, options)
            if not report["clean"]:
                self.faults.append(f"{relay.name}, {load}: {report['first_fault']}")
                self.say(f"  FAULT: {self.faults[-1]}")
            self.trials.append({"relay": relay.name, "load": load, "what": what, "report": report})
            if report["tls"]:
                self.note_cipher(relay.name, report["cipher"])
            if not report["loader"]["fell_behind"]:
                break
            self.say(f"  the loader fell behind its rate ({attempt + 1} of {attempts})")
        return report

    def note_cipher(self, name, cipher):
        """Each relay chooses by its own preference; what they are compared by is the same work."""
        if self.ciphers.setdefault(name, cipher) != cipher:
            self.faults.append(f"{name} changed its cipher suite to {cipher}")
        if len(set(self.ciphers.values())) > 1 and "ciphers" not in " ".join(self.faults):
            self.faults.append(f"the ciphers differ: {self.ciphers}")

    def about(self):
        """What is known only when it has run."""
        if not self.ciphers:
            return []
        chosen = ", ".join(f"{name}: {cipher}" for name, cipher in self.ciphers.items())
        return [f"TLS 1.3 with a P-256 certificate; {chosen}"]

    def search(self, relay, load):
        """The best rate of a relay that runs."""
        # From where the last repetition ended; the floor's begins at what a relay reached.
        before = self.best.get((load, relay.name)) or (relay.name == FLOOR and
                                                       self.best.get((load, OURS)))
        search = Search(self.pace.step, before or FIRST_RATE[load])
        share = None  # of its core, that the relay needed for the best rate
        if before:
            search.stride = 2
        while (rate := search.next_rate()) is not None:
            options = dict(LOADS[load], rate=rate, **self.pace.trial)
            # A second failure is needed, as a moment's disturbance must not decide.
            for _ in range(1 if self.pace.quick else 2):
                report = self.run(relay, load, options, what="search")
                held = holds(report)
                if held:
                    break
            if held and rate > (search.best or 0):
                share = cpu_share(report)
            search.tell(held, loader_was_the_limit(report))
            self.say(f"  {relay.name} {load} {rate:,.0f}/s: {100 * shares(report)[0]:.1f} % "
                     f"delivered{'' if held else ', does not hold'}"
                     f"{' (the loader was the limit)' if loader_was_the_limit(report) else ''}")
        key = load + "_best"
        self.put(key, relay.name, search.best)
        if load in ("bulk", "tls_bulk"):
            self.put(key + "_share", relay.name, share)
        if search.limited:
            self.limited.add((key, relay.name))
        if search.best:
            self.best[load, relay.name] = search.best

    def sweep(self, relay, load):
        """The whole curve, also beyond what the relay can do."""
        if not self.draws_curves:
            return
        rates = SWEEP[load]
        if self.pace.quick:
            rates = [2 * self.best.get((load, relay.name), FIRST_RATE[load])]
        for rate in rates:
            report = self.run(relay, load, dict(LOADS[load], rate=rate, **self.pace.trial),
                              what="sweep")
            self.say(f"  {relay.name} {load} {rate:,.0f}/s: {report['per_second']['delivered']:,.0f}/s "
                     f"delivered, {report['lost_percent']:.1f} % of those sent lost")

    def tls_for(self, load):
        return self.certificate if load.startswith("tls_") else None

    def measure_light_throughput(self, competitor):
        """There the loader is the limit, of either relay: no need to find it five times."""
        if self.draws_curves:
            self.measure_throughput(competitor, "light")

    def measure_throughput(self, competitor, load):
        with competitor.start([self.relay_core], 1, self.tls_for(load)) as relay:
            self.search(relay, load)
            self.sweep(relay, load)

    def fixed(self, relay, load, rate, prefix, cores=None, latency=False):
        """CPU per packet at a rate, and latency."""
        report = self.run(relay, load, dict(LOADS[load], rate=rate, **self.pace.fixed), cores,
                          self.pace.attempts, "shared" if cores else "fixed")
        cpu = microseconds(report)
        self.put(prefix + "_cpu", relay.name, cpu)
        if not holds(report):
            self.say(f"  {relay.name} does not hold {rate:,.0f}/s here")
        if loader_was_the_limit(report):
            self.limited.add((prefix + "_cpu", relay.name))
        for label, name in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")) if latency else ():
            self.put(f"{prefix}_{label}", relay.name,
                     report["latency_us"][name] if report["latency_us"] else None)
        self.say(f"  {relay.name} {prefix}: {cpu or 0:.1f} us of CPU per packet, "
                 f"p99 {report['latency_us']['p99'] if report['latency_us'] else 0:,.0f} us")

    def measure_fixed(self, competitor):
        with competitor.start([self.relay_core], 1) as relay:
            self.put("empty_rss", relay.name, relay.empty_rss / 1048576)
            self.fixed(relay, "light", 20000.0, "light_20k", latency=True)
            self.fixed(relay, "light", 40000.0, "light_40k")
            self.fixed(relay, "bulk", 60000.0, "bulk_60k")

    def measure_tls(self, competitor):
        with competitor.start([self.relay_core], 1, self.certificate) as relay:
            self.put("tls_empty_rss", relay.name, relay.empty_rss / 1048576)
            self.fixed(relay, "tls_light", 20000.0, "tls_light_20k", latency=True)
            self.fixed(relay, "tls_light", 40000.0, "tls_light_40k")
            self.fixed(relay, "tls_bulk", 60000.0, "tls_bulk_60k")

    def measure_flood(self, competitor):
        with competitor.start([self.relay_core], 1) as relay:
            report = self.run(relay, "flood", dict(LOADS["bulk"], rate=0.0, **self.pace.fixed))
        delivered = report["per_second"]["delivered"]
        best = self.best.get(("bulk", relay.name))
        self.put("flood", relay.name, delivered)
        self.put("flood_share", relay.name, 100 * delivered / best if best else None)
        # Where the relay too had no time left, it was not for want of load.
        if report["loader"]["saturated"] and report["relay_process"]["cpu_share"] < 0.95:
            self.limited.add(("flood", relay.name))
        self.say(f"  {relay.name} flooded: {delivered:,.0f}/s delivered, "
                 f"{report['lost_percent']:.1f} % lost")

    def measure_two_workers(self, competitor):
        """Both relays and the loader share both cores; one worker under the same terms, before and
        after, as what else these cores have to do changes with time."""
        cores = [self.relay_core, self.loader_core]

        def one():
            with competitor.start(cores, 1) as relay:
                self.fixed(relay, "light", 20000.0, "shared_20k", cores)

        one()
        with competitor.start(cores, 2) as relay:
            self.put("empty2_rss", relay.name, relay.empty_rss / 1048576)
            for _ in range(2):
                self.fixed(relay, "light", 20000.0, "crossing_20k", cores, latency=True)
        one()
        alone, crossing = (self.values[key][competitor.name][-2:]
                           for key in ("shared_20k_cpu", "crossing_20k_cpu"))
        known = all(alone) and all(crossing)
        self.put("crossing_cost", competitor.name,
                 100 * sum(crossing) / sum(alone) if known else None)

    def measure_random(self, competitor):
        with competitor.start([self.relay_core], 1) as relay:
            self.fixed(relay, "random", 20000.0, "random", latency=True)

    def idle(self, competitor, count, pace, certificate=None):
        """Idle connections, and what the relay's process took."""
        with competitor.start([self.relay_core], 1, certificate) as relay:
            report = self.run(relay, "tls_idle" if certificate else "idle",
                              dict(peers=0, idle=count, **pace))
        process = report["relay_process"]
        each = (process["rss"] - relay.empty_rss) / count / 1024
        self.say(f"  {relay.name} {count} idle: {each:.1f} KiB each, "
                 f"{process['cpu_us_per_connection']:.0f} us of CPU to connect")
        return each, process, report["seconds"]

    def measure_tls_random(self, competitor):
        with competitor.start([self.relay_core], 1, self.certificate) as relay:
            self.fixed(relay, "tls_random", 20000.0, "tls_random", latency=True)

    def measure_idle(self, competitor):
        """Memory in each repetition; CPU in the first, as that takes more than a minute: all that
        an idle connection costs are the KeepAlives, one a minute."""
        first = competitor.name not in self.values.get("idle_5000_rss", {})
        counts = IDLE_COUNTS if first and not self.pace.quick else (1000, 5000)
        for count in counts:
            key = f"idle_{count}"
            minute = count == 5000 and first and not self.pace.quick
            each, process, seconds = self.idle(competitor, count, self.pace.idle_minute if minute
                                               else self.pace.idle)
            self.put(key + "_rss", competitor.name, each)
            if minute:
                self.put(key + "_cpu", competitor.name,
                         process["cpu_share"] * seconds * 1e6 / count)
            if count == 5000:
                self.put("connect_cpu", competitor.name, process["cpu_us_per_connection"])

    def measure_floor(self, load_prefix, certificate=None):
        """What there is to be had on this machine, by what does nothing else."""
        with self.floor.start([self.relay_core], 1, certificate) as relay:
            self.search(relay, load_prefix + "bulk")
            self.sweep(relay, load_prefix + "bulk")
            self.fixed(relay, load_prefix + "light", 20000.0, load_prefix + "light_20k", latency=True)
            self.fixed(relay, load_prefix + "light", 40000.0, load_prefix + "light_40k")
            self.fixed(relay, load_prefix + "bulk", 60000.0, load_prefix + "bulk_60k")
            self.fixed(relay, load_prefix + "random", 20000.0, load_prefix + "random", latency=True)

    def measure_tls_idle(self, competitor):
        each, process, _ = self.idle(competitor, 5000, self.pace.idle, self.certificate)
        self.put("tls_idle_5000_rss", competitor.name, each)
        self.put("tls_connect_cpu", competitor.name, process["cpu_us_per_connection"])

    def repeat(self, number, only=None):
        """One repetition of everything, or of what is plain or TLS alone; the relays take turns in
        being first."""
        order = self.relays if number % 2 == 0 else self.relays[::-1]
        self.draws_curves = number < self.pace.curve_repetitions
        plain = (
            ("best rate, bulk", lambda relay: self.measure_throughput(relay, "bulk")),
            ("flooded flat out", self.measure_flood),
            ("best rate, light", self.measure_light_throughput),
            ("CPU and latency at fixed rates", self.measure_fixed),
            ("two workers", self.measure_two_workers),
            ("5,000 peers, random destinations", self.measure_random),
            ("idle connections", self.measure_idle),
        )
        tls = (
            ("TLS: best rate, bulk", lambda relay: self.measure_throughput(relay, "tls_bulk")),
            ("TLS: CPU and latency at fixed rates", self.measure_tls),
            ("TLS: 5,000 peers, random destinations", self.measure_tls_random),
            ("TLS: idle connections", self.measure_tls_idle),
        )
        steps = (() if only == "tls" else plain) + (() if only == "plain" else tls)
        for at, (title, measure) in enumerate(steps):
            self.say(f"repetition {number + 1}, part {at + 1} of {len(steps)}: {title}")
            for competitor in order:
                measure(competitor)
        if self.floor and self.draws_curves:
            for prefix, certificate in (("", None), ("tls_", self.certificate)):
                if only != ("plain" if certificate else "tls"):
                    self.say(f"repetition {number + 1}: the floor{', TLS' if certificate else ''}")
                    self.measure_floor(prefix, certificate)


def header(host, network, relays, arguments, comparison):
    """What has to be known of the figures, in lines."""
    virtual = ", virtual machine" if host["hypervisor"] else ""
    return [
        f"{host['date']}, {arguments.repetitions} repetition(s)"
        f"{', quick: short runs, coarse figures' if arguments.quick else ''}",
        f"{host['cpu']}, {host['cores']} cores{virtual}, {host['memory_gib']} GiB, Linux "
        f"{host['kernel']}, TCP {host['congestion_control']} on {network}",
        *(relay.describe() for relay in relays),
        f"relay on core {comparison.relay_core}, loader on core {comparison.loader_core}; with two "
        "workers relay and loader share both",
    ]


def noise(host):
    """What makes the figures worth less, in lines."""
    found = []
    if host["load_before"] > 0.3:
        found.append(f"NOISY: the load average was {host['load_before']:.2f} before the first run; "
                     "other programs took part of the cores")
    if host["congestion_control"] == "bbr":
        found.append("NOISY: BBR paces what goes over loopback; to let the comparison use CUBIC: sysctl "
                     "net.ipv4.tcp_allowed_congestion_control='reno bbr cubic'")
    return found


def choose_cores(arguments):
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise RelayError("two cores are needed: one for the relay, one for the loader")
    relay = usable[0] if arguments.relay_core is None else arguments.relay_core
    loader = usable[1] if arguments.loader_core is None else arguments.loader_core
    if relay == loader or not {relay, loader} <= set(usable):
        raise RelayError("--relay-core and --loader-core must be two different usable cores")
    return relay, loader


DURATIONS = """what takes how long, about:
  the first repetition 11 minutes, the second 8, with the curves and the floor, and in the first the
  CPU of idle connections for 66 s of each relay; the others 6 each; 5 of them within 40 minutes.
  --only plain takes two thirds of that, --only tls a third; --quick 4 minutes in all.
  derper is built once, into the folder bench/ of the build, in a minute or so."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, epilog=DURATIONS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="FOLDER",
                        help="where hyper-derp and hyper-derp-bench are (default: build)")
    parser.add_argument("--quick", action="store_true", help="one short repetition, in 4 minutes")
    parser.add_argument("--only", choices=("plain", "tls"), help="measure a part")
    parser.add_argument("--repetitions", type=int, metavar="N", help="default 5; quick: 1")
    parser.add_argument("--engine", default="auto", help="of hyper-derp: auto, io_uring, epoll")
    parser.add_argument("--relay-core", type=int, metavar="CORE", help="default: the first usable")
    parser.add_argument("--loader-core", type=int, metavar="CORE", help="default: the second")
    parser.add_argument("--docs", metavar="PAGE",
                        help="put the figures and plots into this page when done")
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    if arguments.repetitions is None:
        arguments.repetitions = 1 if arguments.quick else 5
    if arguments.repetitions < 1:
        parser.error("--repetitions: at least 1")
    return arguments


def compare(arguments):
    folder = os.path.join(arguments.build, "bench")
    os.makedirs(folder, exist_ok=True)
    if arguments.docs:
        read_page(arguments.docs)  # rather than find out when all is done
    raise_file_limit()
    relay_core, loader_core = choose_cores(arguments)
    program, version, built_with = build_derper(folder, lambda text: print(text, file=sys.stderr))
    network = enter_own_network()  # after building, which may need the internet
    host = machine()
    relays = [Derper(program, version, built_with, folder),
              HyperDerp(os.path.join(arguments.build, OURS), arguments.engine, folder)]
    floor = Floor(os.path.join(arguments.build, "hyper-derp-floor"))
    assert [relay.name for relay in relays + [floor]] == [THEIRS, OURS, FLOOR]
    comparison = Comparison(relays, os.path.join(arguments.build, "hyper-derp-bench"), relay_core,
                            loader_core, Pace(arguments.quick), Certificate(folder), floor)
    head = header(host, network, relays + [floor], arguments, comparison) + noise(host)
    print("\n".join(head), file=sys.stderr)
    for number in range(arguments.repetitions):
        comparison.repeat(number, arguments.only)
        write_results(folder, head + comparison.about(), host, comparison)
    print("\n" + "\n".join(head + comparison.about()) + "\n\n" + terminal(comparison.values, comparison.limited))
    for fault in comparison.faults:
        print("FAULT: " + fault)
    print(f"The same as Markdown and JSON, with plots: {folder}/")
    if arguments.docs:
        update_page(arguments.docs, head + comparison.about(), comparison)
    return 1 if comparison.faults else 0


def main():
    try:
        return compare(parse_arguments())
    except RelayError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("compare.py: interrupted; what was measured by then is in the build folder",
              file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
