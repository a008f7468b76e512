"""The GPU lease: no two live processes share a device, a dead one holds none."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from foldbelt.files import InputError
from foldbelt.train import devices

HOLD = """
import os, sys, time
from foldbelt.train.devices import lease
assert "torch" not in sys.modules
with lease("gpu", 1, lambda text: print(text, flush=True)) as held:
    print("got", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend that the machine has two GPUs and nobody has allotted any."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_JOB_ID", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")  # so that what the lease sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("FOLDBELT_GPUS", "0,1")
    monkeypatch.setenv("FOLDBELT_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(devices, "_POLL", 0.01)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def holder():
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, text=True)


def read_until(process, word):
    for line in process.stdout:
        if word in line:
            return line.split()[-1]
    raise AssertionError(f"the holder ended without saying {word!r}")


@pytest.mark.usefixtures("machine")
def test_three_holders_share_no_device_and_a_killed_one_frees_its_own():
    running = [holder(), holder()]
    third = None
    try:
        assert {read_until(process, "got") for process in running} == {"0", "1"}
        third = holder()
        read_until(third, "Waiting")
        running[1].send_signal(signal.SIGSTOP)  # a stopped holder still holds
        time.sleep(0.2)
        assert third.poll() is None
        running[1].send_signal(signal.SIGCONT)
        running[0].kill()
        running[0].wait()
        device = read_until(third, "got")
        running[1].stdin.close()
        running[1].wait(10)
        assert running[1].returncode == 0
        with devices.lease("gpu", 1, lambda text: None) as last:
            assert {last.name, device} == {"0", "1"}
    finally:
        for process in [*running, *([third] if third else [])]:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("machine")
def test_leases_of_one_process_differ_and_closing_frees():
    quiet = []
    first, second = devices.lease("auto", 1, quiet.append), None
    os.environ.pop("CUDA_VISIBLE_DEVICES")
    second = devices.lease("auto", 1, quiet.append)
    assert Counter([first.name, second.name]) == Counter(["0", "1"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == second.name
    first.close()
    os.environ.pop("CUDA_VISIBLE_DEVICES")
    with devices.lease("auto", 1, quiet.append) as third:
        assert third.name == first.name
    second.close()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    "variables", [{"CUDA_VISIBLE_DEVICES": "3", "SLURM_JOB_ID": "7"}, {"SLURM_JOB_GPUS": "1"}]
)
def test_an_allotment_is_left_alone(monkeypatch, tmp_path, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    for _ in range(3):  # never waits, whoever else was given the same
        assert devices.lease("auto", 1, lambda text: None).device == "cuda"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    assert not (tmp_path / "locks").exists()


@pytest.mark.usefixtures("machine")
def test_a_device_set_by_hand_is_still_leased_once(monkeypatch):
    monkeypatch.setattr(devices, "_POLL", 0.01)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    first = devices.lease("auto", 1, lambda text: None)

    class Waiting(Exception):
        pass

    def stop(text):
        raise Waiting(text)

    with pytest.raises(Waiting, match="Waiting for a free GPU"):
        devices.lease("auto", 1, stop)
    first.close()


@pytest.mark.usefixtures("machine")
def test_of_several_allotted_devices_each_job_takes_another(monkeypatch):
    names = set()
    held = []
    for _ in range(2):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
        held.append(devices.lease("auto", 1, lambda text: None))
        names.add(os.environ["CUDA_VISIBLE_DEVICES"])
    assert names == {"4", "6"}
    for one in held:
        one.close()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("mode", "allowed", "gpus", "word"),
    [("auto", 0, "0,1", "gpu=0"), ("auto", 1, "", "shows no GPU"), ("cpu", 1, "0,1", "config")],
)
def test_the_cpu_is_taken_only_for_a_reason_that_is_said(monkeypatch, mode, allowed, gpus, word):
    monkeypatch.setenv("FOLDBELT_GPUS", gpus)
    said = []
    assert devices.lease(mode, allowed, said.append).device == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert len(said) == 1
    assert "CPU" in said[0]
    assert word in said[0]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("allowed", "gpus"), [(0, "0,1"), (1, "")])
def test_a_demanded_gpu_that_is_not_there_is_an_error(monkeypatch, allowed, gpus):
    monkeypatch.setenv("FOLDBELT_GPUS", gpus)
    with pytest.raises(InputError, match="gpu is demanded"):
        devices.lease("gpu", allowed, print)


@pytest.mark.usefixtures("machine")
def test_a_planted_link_is_not_followed(tmp_path):
    folder = tmp_path / "locks"
    folder.mkdir()
    (tmp_path / "victim").write_text("precious")
    (folder / "0.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match=r"0\.lock"):
        devices.lease("auto", 1, print)


@pytest.mark.usefixtures("machine")
def test_the_folder_is_open_to_all_users_and_sticky(tmp_path):
    old = os.umask(0o077)
    try:
        devices.lease("auto", 1, lambda text: None).close()
    finally:
        os.umask(old)
    assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "locks" / "0.lock").stat().st_mode & 0o444 == 0o444


def test_an_unknown_mode_is_named():
    with pytest.raises(InputError, match="tpu"):
        devices.lease("tpu", 1, print)
