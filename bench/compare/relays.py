# SPDX-License-Identifier: BSD-3-Clause
"""The relays that are compared: building derper, starting and stopping either of them."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DERPER_MODULES = os.path.join(os.path.dirname(HERE), "derper")
DERPER_VERSIONS = ("v1.104.5", "v1.102.5")
HOST = "127.0.0.1"
START_PATIENCE = 10.0
STOP_PATIENCE = 15.0


class RelayError(Exception):
    """A relay could not be built or started, or ended by itself."""


def raise_file_limit():
    """5,000 connections need as many files; what is started here inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def build_derper(folder, say):
    """Builds derper as an ordinary Go tool, the newest version that can be had. Returns its path
    and version, and with which Go it was built."""
    if shutil.which("go") is None:
        raise RelayError("go is not installed: it builds derper; see https://go.dev/dl/")
    environment = dict(os.environ, GOTOOLCHAIN="auto", CGO_ENABLED="0", GOWORK="off")
    environment["GOFLAGS"] = "-mod=readonly"
    for version in DERPER_VERSIONS:
        program = os.path.join(folder, "derper-" + version)
        if not os.path.exists(program):
            say(f"building derper {version} (a minute or so, the first time)")
            built = subprocess.run(
                ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program,
                 "tailscale.com/cmd/derper"],
                cwd=os.path.join(DERPER_MODULES, version), env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if built.returncode != 0:
                last = (built.stdout.strip().splitlines() or ["go build failed"])[-1]
                say(f"derper {version} does not build here: {last}")
                continue
        shown = subprocess.run(["go", "version", program], env=environment, check=False,
                               stdout=subprocess.PIPE, text=True).stdout
        return program, version, shown.strip().rpartition(" ")[2]
    raise RelayError("no version of derper could be built")


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def resident_bytes(pid):
    """Resident memory, counted exactly where the kernel allows it."""
    for name, field in (("smaps_rollup", "Rss"), ("status", "VmRSS")):
        try:
            with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
                found = re.search(rf"^{field}:\s+(\d+) kB", file.read(), re.M)
        except OSError:
            continue
        if found:
            return int(found.group(1)) * 1024
    return 0


class Relay:
    """A running relay on some cores, with TLS if it has a certificate. Use it in a with
    statement."""

    def __init__(self, name, command, cores, environment=None, address=None, certificate=None):
        self.name = name
        self.loader_options = certificate.loader_options() if certificate else {}
        self.address = address
        self.log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        listed = ",".join(str(core) for core in cores)
        self.process = subprocess.Popen(
            ["taskset", "-c", listed] + command, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, env=dict(os.environ, **(environment or {})), start_new_session=True)
        self.pid = self.process.pid  # taskset becomes the relay
        try:
            self.await_listening()
        except BaseException:
            self.stop()
            raise
        self.empty_rss = resident_bytes(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def log_text(self):
        self.log.seek(0)
        return self.log.read()

    def await_listening(self):
        until = time.monotonic() + START_PATIENCE
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RelayError(f"{self.name} ended at once:\n{self.log_text()[-2000:]}")
            if self.address is None:
                found = re.search(r"listening on (\S+:\d+)", self.log_text())
                if found:
                    self.address = found.group(1)
            if self.address is not None:
                host, _, port = self.address.rpartition(":")
                try:
                    socket.create_connection((host, int(port)), 1).close()
                    return
                except OSError:
                    pass
            time.sleep(0.02)
        raise RelayError(f"{self.name} does not listen:\n{self.log_text()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


CONFIG = """key_file = {key_file}

[[listener]]
address = "{address}"
tls = true

[tls]
cert = {cert}
key = {key}
hostname = "{host}"

[stun]
address = ""

[metrics]
address = ""
"""


class HyperDerp:
    """hyper-derp as a competitor."""

    name = "hyper-derp"

    def __init__(self, program, engine, folder):
        self.program = program
        self.engine = engine
        self.folder = folder

    def describe(self):
        shown = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.strip()
        return f"{shown}, engine {self.engine}"

    def start(self, cores, workers, certificate=None):
        listen = ["--listen", HOST + ":0"]
        if certificate:
            listen = ["--config", self.write_config(certificate)]
        return Relay(self.name, [self.program] + listen + ["--workers", str(workers), "--engine",
                                                           self.engine],
                     cores, certificate=certificate)

    def write_config(self, certificate):
        """The same as --listen gives, over TLS."""
        name = os.path.join(self.folder, "hyper-derp-tls.toml")
        text = CONFIG.format(address=HOST + ":0", host=HOST, cert=json.dumps(certificate.chain),
                             key=json.dumps(certificate.key),
                             key_file=json.dumps(os.path.join(self.folder, "hyper-derp.key")))
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        return name


class Floor:
    """What receiving, copying and sending cost at the least: bench/floor. Not a relay."""

    name = "floor"

    def __init__(self, program):
        self.program = program

    def describe(self):
        return "floor: only receives, rewrites and sends, on io_uring; no relay"

    def start(self, cores, workers, certificate=None):
        assert workers == 1
        command = [self.program, "--listen", HOST + ":0"]
        if certificate:
            command += ["--cert", certificate.chain, "--key", certificate.key]
        return Relay(self.name, command, cores, certificate=certificate)


class Derper:
    """Tailscale's derper, with default settings but for what would need the internet."""

    name = "derper"

    def __init__(self, program, version, built_with, folder):
        self.program = program
        self.version = version
        self.built_with = built_with
        self.key_file = os.path.join(folder, "derper.json")

    def describe(self):
        return f"derper {self.version}, {self.built_with}"

    def start(self, cores, workers, certificate=None):
        address = f"{HOST}:{free_port()}"
        command = [self.program, "-a", address, "-http-port", "-1", "-stun=false",
                   "-hostname", HOST, "-c", self.key_file]
        if certificate:
            command += ["-certmode", "manual", "-certdir", certificate.folder]
        return Relay(self.name, command, cores, {"GOMAXPROCS": str(workers)}, address, certificate)


def machine():
    """What the figures depend on besides the programs."""

    def first(path, pattern, otherwise="unknown"):
        try:
            with open(path, encoding="utf-8") as file:
                found = re.search(pattern, file.read(), re.M)
        except OSError:
            return otherwise
        return found.group(1).strip() if found else otherwise

    memory = first("/proc/meminfo", r"^MemTotal:\s+(\d+) kB", "0")
    return {
        "cpu": first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "hypervisor": "hypervisor" in first("/proc/cpuinfo", r"^flags\s*:(.*)$", "").split(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory) / 1048576),
        "kernel": os.uname().release,
        "congestion_control": first("/proc/sys/net/ipv4/tcp_congestion_control", r"(.*)"),
        "load_before": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
    }


def run_loader(program, cores, relay, options):
    """Runs hyper-derp-bench once against a relay, and returns its report."""
    command = ["taskset", "-c", ",".join(str(core) for core in cores), program, "--json",
               "--relay", relay.address, "--relay-pid", str(relay.pid)]
    for name, value in {**relay.loader_options, **options}.items():
        if value is True:
            command.append("--" + name)
        else:
            command += ["--" + name, f"{value:g}" if isinstance(value, float) else str(value)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise RelayError(f"{' '.join(command)}\n{done.stderr.strip()}\n"
                         f"{relay.name}:\n{relay.log_text()[-2000:]}")
    return json.loads(done.stdout)
