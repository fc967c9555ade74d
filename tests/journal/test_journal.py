"""When states are written, what signals ask for, and that training goes on exactly."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from cryospin.errors import InterruptedRunError
from cryospin.journal.checkpoints import Checkpoints
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.networks import recall_training, training_state
from cryospin.journal.signals import Signals
from cryospin.journal.tree import packed, unpacked
from cryospin.parallel import in_blocks
from elsewhere import ELSEWHERE, Elsewhere


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints.begun(tmp_path, {})


def test_without_a_folder_nothing_is_kept() -> None:
    def refuse() -> None:
        raise AssertionError("must not be asked for its state")

    UNRECORDED.part("a").keep(refuse, 1)
    assert UNRECORDED.part("a").recalled() is None
    numbers = iter((1, 2))
    assert [UNRECORDED.once("b", lambda: next(numbers)) for _ in range(2)] == [1, 2]


def test_states_are_written_when_it_is_time(checkpoints: Checkpoints) -> None:
    seldom = Journal(checkpoints, every_seconds=3600).part("a")
    seldom.keep(1)
    assert seldom.recalled() is None
    seldom.keep_now(2, lambda: 3)
    assert seldom.recalled() == (2, 3)
    often = Journal(checkpoints, every_seconds=0.0).part("a")
    often.keep(4)
    assert often.recalled() == (4,)


def test_slow_writing_is_done_less_often(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Journal(checkpoints, every_seconds=0.0).part("a")
    monkeypatch.setattr(checkpoints, "write", lambda part, state: time.sleep(0.02))
    began = time.monotonic()
    written = []
    while time.monotonic() - began < 0.5:
        slow.keep(lambda: written.append(1))
        time.sleep(0.001)
    assert len(written) == 1


def test_parts_have_names_of_their_own(checkpoints: Checkpoints) -> None:
    journal = Journal(checkpoints, every_seconds=0.0)
    journal.part("half1").part("start1").keep(11)
    journal.part("half2").part("start1").keep(21)
    assert journal.part("half1/start1").recalled() == (11,)
    assert journal.part("half2").part("start1").recalled() == (21,)


def test_once_is_once(checkpoints: Checkpoints) -> None:
    journal, calls = Journal(checkpoints), list[int]()

    def compute() -> None:
        calls.append(1)

    assert journal.once("none", compute) is None
    assert Journal(checkpoints).once("none", compute) is None
    assert len(calls) == 1


@pytest.mark.parametrize("made_on", ["cpu", ELSEWHERE.type])
@pytest.mark.parametrize("recalled_on", ["cpu", ELSEWHERE.type])
def test_states_go_on_elsewhere(checkpoints: Checkpoints, made_on: str, recalled_on: str) -> None:
    """What a card's run left with the CPU stays there; what the CPU's run made goes to a card."""
    with Elsewhere():
        kept = torch.ones(2, device=made_on), torch.ones(2)
        Journal(checkpoints, device=made_on).part("a").keep_now(*kept)
        recalled = Journal(checkpoints, device=recalled_on).part("a").recalled()
        assert recalled is not None
        devices = [each.device.type for each in recalled]
    second = recalled_on if made_on == "cpu" else "cpu"
    assert devices == [recalled_on, second]


def test_a_state_gone_wrong_does_not_replace_a_good_one(checkpoints: Checkpoints) -> None:
    journal = Journal(checkpoints, every_seconds=0.0).part("training")
    journal.keep(torch.ones(2))
    journal.keep(torch.tensor([1.0, torch.nan]))
    recalled = journal.recalled()
    assert recalled is not None and torch.equal(recalled[0], torch.ones(2))


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    # handlers run between two steps of the interpreter
    for _ in range(100):
        time.sleep(0)


def test_usr1_asks_each_part_for_one_state(checkpoints: Checkpoints) -> None:
    with Signals() as signals:
        journal = Journal(checkpoints, signals, every_seconds=3600)
        first, second = journal.part("a"), journal.part("b")
        first.keep(0)
        send(signal.SIGUSR1)
        for step in (1, 2):
            first.keep(step)
            second.keep(step)
        # begun after the signal
        journal.part("c").keep(3)
    assert first.recalled() == (1,) and second.recalled() == (1,)
    assert journal.part("c").recalled() is None


def test_term_lets_the_loop_write_and_end(checkpoints: Checkpoints) -> None:
    with Signals() as signals:
        journal = Journal(checkpoints, signals, every_seconds=3600).part("a")
        with pytest.raises(InterruptedRunError, match="with --resume"), journal.patience():
            send(signal.SIGTERM)
            journal.keep(7)
    assert journal.recalled() == (7,)


def test_term_ends_at_once_where_there_is_nothing_to_keep() -> None:
    with Signals(), pytest.raises(InterruptedRunError):
        send(signal.SIGTERM)


def test_a_second_term_does_not_wait() -> None:
    with Signals() as signals, pytest.raises(InterruptedRunError), signals.patience():
        send(signal.SIGTERM)
        assert signals.stopping
        send(signal.SIGTERM)
        raise AssertionError("was to end above")


def test_term_with_no_loop_left_ends_where_patience_does() -> None:
    with Signals() as signals, pytest.raises(InterruptedRunError), signals.patience():
        send(signal.SIGTERM)


def test_handlers_are_given_back() -> None:
    taken = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.getsignal(number) for number in taken]
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    after = [signal.getsignal(number) for number in taken]
    assert after == before


def test_signals_come_to_the_main_thread_only() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with Signals():
            assert signal.getsignal(signal.SIGTERM) == before

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("number", "ends_in"),
    [(signal.SIGTERM, InterruptedRunError), (signal.SIGINT, KeyboardInterrupt)],
)
def test_both_threads_write_before_the_run_ends(
    checkpoints: Checkpoints, number: signal.Signals, ends_in: type[BaseException]
) -> None:
    both_begun = threading.Barrier(3)

    def work(journal: Journal) -> Callable[[], None]:
        def loop() -> None:
            both_begun.wait(10)
            for step in range(10000):
                journal.keep(step)
                time.sleep(0.001)

        return loop

    def kill() -> None:
        both_begun.wait(10)
        time.sleep(0.02)
        os.kill(os.getpid(), number)

    with Signals() as signals:
        journal = Journal(checkpoints, signals, every_seconds=3600)
        parts = [journal.part("half1"), journal.part("half2")]
        killer = threading.Thread(target=kill)
        killer.start()
        jobs = [work(part) for part in parts]
        with pytest.raises(ends_in), journal.patience():
            list(in_blocks(lambda rows: jobs[rows.start](), len(jobs), 1, threads=2))
        killer.join()
    assert all(part.recalled() is not None for part in parts)


def trained(network: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        loss = network(images).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def network_and_adam(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Convolutions whose weights lie channels last, batch norm's statistics, fused Adam."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3))
    network = network.to(memory_format=torch.channels_last)
    return network, torch.optim.Adam(network.parameters(), lr=0.1, fused=True)


@pytest.mark.parametrize("steps", [0, 3])
def test_training_goes_on_exactly(steps: int) -> None:
    network, adam = network_and_adam(1)
    trained(network, adam, range(steps))
    state = unpacked(packed(training_state([network], adam)))
    trained(network, adam, range(steps, steps + 3))
    other, other_adam = network_and_adam(2)
    recall_training([other], other_adam, state)
    trained(other, other_adam, range(steps, steps + 3))
    assert other.state_dict().keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
