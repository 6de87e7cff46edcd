"""Long-running programs with their logs, and waiting for what they promise."""

import subprocess
import time


class Failed(Exception):
    """A step did not do what it should; `program` is the one whose log may tell why."""

    def __init__(self, message, program=None):
        super().__init__(message)
        self.program = program


class Program:
    """One running daemon on a host."""

    def __init__(self, name, command, log_path):
        self.name = name
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self):
        """All that it has said."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_tail(self, lines=20):
        """The last lines of its log; of a crash, the beginning of the report."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            text = log.readlines()
        crash = next((i for i, line in enumerate(text) if "Fatal error" in line or "crashed" in line), None)
        if crash is not None:
            return "".join(text[max(0, crash - 20) : crash + 80])
        return "".join(text[-lines:])

    def check_alive(self):
        code = self.process.poll()
        if code is not None:
            raise Failed(f"{self.name} ended by itself with exit code {code}", self)

    def kill(self):
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self, patience=10):
        """SIGTERM, as a service manager would. Returns whether it stopped cleanly in time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return False
        return self.process.returncode == 0


def wait_until(what, condition, program, seconds=30):
    """Calls `condition` until it gives something true, and returns that. Fails when time is up."""
    deadline = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < deadline:
        program.check_alive()
        try:
            value = condition()
            if value:
                return value
        except Exception as error:  # not there yet: the reason is told if it stays so
            reason = f" ({error})"
        time.sleep(0.05)
    raise Failed(f"{what}: still not so after {seconds} s{reason}", program)


def output_of(command, what, seconds=30, program=None):
    """The standard output of a command that has to succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: no end after {seconds} s", program) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise Failed(f"{what}: exit code {done.returncode}: {said}", program)
    return done.stdout


def run_with_input(command, text, what, seconds=30):
    """The same for a command that reads its orders from standard input."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: no end after {seconds} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise Failed(f"{what}: exit code {done.returncode}: {said}")
    return done.stdout
