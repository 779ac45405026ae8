# SPDX-License-Identifier: BSD-3-Clause
"""Statistics over repetitions, the search for the best rate, and the rows of the table. Pure."""

import math
import statistics

NOISY_SPREAD = 0.15
HOLDS_SHARE = 0.99  # of the offered packets, that must have arrived


class Sample:
    """The values of one figure over the repetitions; None where a repetition had none."""

    def __init__(self, values):
        self.values = [value for value in values if value is not None]

    def __bool__(self):
        return bool(self.values)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def low(self):
        return min(self.values)

    @property
    def high(self):
        return max(self.values)

    @property
    def spread(self):
        """(max - min) / median."""
        return (self.high - self.low) / self.median if self.median else 0.0

    @property
    def noisy(self):
        return len(self.values) > 1 and self.spread > NOISY_SPREAD


def ratios(ours, theirs):
    """Of each repetition by itself: what disturbs the machine for long disturbs both."""
    return Sample([a / b if a is not None and b else None for a, b in zip(ours, theirs)])


def shares(report):
    """Delivered and lost packets as shares of those offered. What arrived only after the measured
    time was not delivered at that rate: it waited in buffers."""
    packets, rate = report["packets"], report["per_second"]
    if not packets["offered"]:
        return 0.0, 0.0
    delivered = min(packets["delivered"] / packets["offered"],
                    rate["delivered"] / rate["offered"], 1.0)
    return delivered, packets["lost"] / packets["offered"]


def holds(report):
    """Tells whether the relay delivered at least 99 % of what was offered."""
    return shares(report)[0] >= HOLDS_SHARE and report["broken_connections"] == 0


def loader_was_the_limit(report):
    return report["loader"]["fell_behind"] or report["loader"]["saturated"]


class Search:
    """Finds the greatest rate that holds, on a grid of rates in equal steps. Ask for next_rate()
    until it is None, and tell each result."""

    def __init__(self, step, first, low=1000.0, high=4e6):
        self.step = step
        self.bottom = self.index(low)
        self.top = self.index(high)
        self.good = None  # greatest index that held
        self.bad = None   # least index that did not
        self.limited = False  # by the loader, at self.bad
        self.at = self.index(first)
        self.stride = max(1, round(math.log(2) / math.log(step)))

    def index(self, rate):
        return round(math.log(rate) / math.log(self.step))

    def rate(self, index):
        rate = self.step ** index
        digits = 2 - math.floor(math.log10(rate))
        return round(rate, digits)

    def next_rate(self):
        return None if self.at is None else self.rate(self.at)

    def tell(self, held, limited=False):
        if held:
            self.good = self.at
        else:
            self.bad, self.limited = self.at, limited
        if self.good is None:
            self.at = max(self.bad - self.stride, self.bottom) if self.bad > self.bottom else None
        elif self.bad is None:
            self.at = min(self.good + self.stride, self.top) if self.good < self.top else None
        elif self.bad - self.good > 1:
            self.at = (self.good + self.bad) // 2
        else:
            self.at = None

    @property
    def best(self):
        return None if self.good is None else self.rate(self.good)


def microseconds(report):
    """CPU of the relay per packet."""
    process = report["relay_process"]
    if process is None or process["cpu_ns_per_packet"] is None:
        return None
    return process["cpu_ns_per_packet"] / 1e3


def cpu_share(report):
    """What the relay took of its core while packets were counted, in percent."""
    process = report["relay_process"]
    return 100 * process["cpu_share"] if process else None


class Row:
    """A line of the table: a figure of each relay, and their ratio."""

    def __init__(self, key, title, unit, lower_is_better=True, digits=1):
        self.key = key
        self.title = title
        self.unit = unit
        self.lower_is_better = lower_is_better
        self.digits = digits


ROWS = (
    Row("bulk_best", "bulk: best rate with < 1 % loss", "packets/s", False, 0),
    Row("bulk_best_share", "bulk: CPU of the relay's core at its best rate", "%", digits=0),
    Row("light_best", "light: best rate with < 1 % loss", "packets/s", False, 0),
    Row("flood", "flooded flat out: delivered", "packets/s", False, 0),
    Row("flood_share", "flooded: delivered, of the own best bulk rate", "%", False, 0),
    Row("bulk_60k_cpu", "bulk, 60,000/s: CPU per packet", "us"),
    Row("light_20k_cpu", "light, 20,000/s: CPU per packet", "us"),
    Row("light_40k_cpu", "light, 40,000/s: CPU per packet", "us"),
    Row("light_20k_p50", "light, 20,000/s: latency p50", "us", digits=0),
    Row("light_20k_p99", "light, 20,000/s: latency p99", "us", digits=0),
    Row("light_20k_p999", "light, 20,000/s: latency p99.9", "us", digits=0),
    Row("random_cpu", "5,000 peers, random, 20,000/s: CPU per packet", "us"),
    Row("random_p50", "5,000 peers, random, 20,000/s: latency p50", "us", digits=0),
    Row("random_p99", "5,000 peers, random, 20,000/s: latency p99", "us", digits=0),
    Row("random_p999", "5,000 peers, random, 20,000/s: latency p99.9", "us", digits=0),
    Row("shared_20k_cpu", "1 worker, cores shared, 20,000/s: CPU per packet", "us"),
    Row("crossing_20k_cpu", "2 workers, crossing, 20,000/s: CPU per packet", "us"),
    Row("crossing_20k_p50", "2 workers, crossing, 20,000/s: latency p50", "us", digits=0),
    Row("crossing_20k_p99", "2 workers, crossing, 20,000/s: latency p99", "us", digits=0),
    Row("crossing_20k_p999", "2 workers, crossing, 20,000/s: latency p99.9", "us", digits=0),
    Row("crossing_cost", "2 workers: CPU per packet, of one worker's", "%", digits=0),
    Row("empty_rss", "memory of the empty relay, 1 worker", "MiB"),
    Row("empty2_rss", "memory of the empty relay, 2 workers", "MiB"),
    Row("idle_1000_rss", "memory per idle connection, 1,000", "KiB"),
    Row("idle_2500_rss", "memory per idle connection, 2,500", "KiB"),
    Row("idle_5000_rss", "memory per idle connection, 5,000", "KiB"),
    Row("idle_10000_rss", "memory per idle connection, 10,000", "KiB"),
    Row("idle_5000_cpu", "CPU per idle connection and minute, 5,000", "us", digits=0),
    Row("connect_cpu", "CPU per connection made, 5,000", "us", digits=0),
    Row("tls_bulk_best", "TLS, bulk: best rate with < 1 % loss", "packets/s", False, 0),
    Row("tls_bulk_best_share", "TLS, bulk: CPU of the relay's core at its best rate", "%", digits=0),
    Row("tls_bulk_60k_cpu", "TLS, bulk, 60,000/s: CPU per packet", "us"),
    Row("tls_light_20k_cpu", "TLS, light, 20,000/s: CPU per packet", "us"),
    Row("tls_light_40k_cpu", "TLS, light, 40,000/s: CPU per packet", "us"),
    Row("tls_light_20k_p50", "TLS, light, 20,000/s: latency p50", "us", digits=0),
    Row("tls_light_20k_p99", "TLS, light, 20,000/s: latency p99", "us", digits=0),
    Row("tls_light_20k_p999", "TLS, light, 20,000/s: latency p99.9", "us", digits=0),
    Row("tls_random_cpu", "TLS, 5,000 peers, random, 20,000/s: CPU per packet", "us"),
    Row("tls_random_p50", "TLS, 5,000 peers, random, 20,000/s: latency p50", "us", digits=0),
    Row("tls_random_p99", "TLS, 5,000 peers, random, 20,000/s: latency p99", "us", digits=0),
    Row("tls_random_p999", "TLS, 5,000 peers, random, 20,000/s: latency p99.9", "us", digits=0),
    Row("tls_empty_rss", "TLS: memory of the empty relay, 1 worker", "MiB"),
    Row("tls_idle_5000_rss", "TLS: memory per idle connection, 5,000", "KiB"),
    Row("tls_connect_cpu", "TLS: CPU per connection made, 5,000", "us", digits=0),
)


class Goal:
    """What a figure shall be: hyper-derp's own, in the unit of its row, or its ratio to derper's."""

    def __init__(self, key, title, bound, ratio=False, at_least=False):
        self.key = key
        self.title = title
        self.bound = bound
        self.ratio = ratio
        self.at_least = at_least

    def met(self, sample):
        return sample.median >= self.bound if self.at_least else sample.median <= self.bound


def at_least_times(key, what, bound):
    """A goal for a best rate."""
    return Goal(key, f"{what}: best rate at least {bound:g} times derper's", bound, ratio=True,
                at_least=True)


def at_most_of(key, what, bound):
    """A goal for what is better when it is less."""
    return Goal(key, f"{what} at most {bound:.2f} of derper's", bound, ratio=True)


GOALS = (
    at_least_times("bulk_best", "bulk", 7),
    at_most_of("bulk_60k_cpu", "bulk, 60,000/s: CPU per packet", 0.27),
    at_most_of("light_20k_cpu", "light, 20,000/s: CPU per packet", 0.60),
    at_most_of("light_40k_cpu", "light, 40,000/s: CPU per packet", 0.62),
    Goal("flood_share", "flooded: at least 90 % of the own best rate delivered", 90, at_least=True),
    at_most_of("random_cpu", "5,000 peers, random: CPU per packet", 0.60),
    at_most_of("light_20k_p99", "light, 20,000/s: latency p99", 0.60),
    Goal("crossing_cost", "2 workers, crossing: at most 105 % of one worker's CPU", 105),
    Goal("idle_5000_rss", "idle: at most 1.0 KB a connection, 5,000", 1000 / 1024),
    Goal("empty2_rss", "empty with 2 workers: at most 8 MB", 8e6 / 1048576),
    at_most_of("connect_cpu", "CPU per connection made", 0.45),
    at_least_times("tls_bulk_best", "TLS, bulk", 3.5),
    at_most_of("tls_bulk_60k_cpu", "TLS, bulk, 60,000/s: CPU per packet", 0.38),
    at_most_of("tls_light_20k_cpu", "TLS, light, 20,000/s: CPU per packet", 0.63),
    at_most_of("tls_light_40k_cpu", "TLS, light, 40,000/s: CPU per packet", 0.70),
    at_most_of("tls_random_cpu", "TLS, 5,000 peers, random: CPU per packet", 0.55),
    at_most_of("tls_light_20k_p99", "TLS, light, 20,000/s: latency p99", 0.60),
    Goal("tls_idle_5000_rss", "TLS, idle: at most 2.0 KB a connection, 5,000", 2000 / 1024),
    at_most_of("tls_connect_cpu", "TLS: CPU per connection made", 0.50),
)
