import pytest

from irene.cli.main import run


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--gpus 5", "12 attention heads"),
        ("--gpus 16 --device h200", "at most 8 GPUs"),
        ("--gpus 2 --device l4", "No link"),
        ("--gpus 0", "--gpus must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(options: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "bert-base-uncased", *options.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and reason in captured.err and captured.err.count("\n") == 1


def test_the_table_says_what_is_summed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "bert-tiny", "--gpus", "2", "--depth", "0"]) == 0
    out = capsys.readouterr().out
    assert "ranks      2 GPUs, tensor parallel" in out and "communication" in out and "of each GPU" in out
