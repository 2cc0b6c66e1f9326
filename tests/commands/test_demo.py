from kerasuite import cli
from kerasuite.commands import demo, run
from kerasuite.pipelines import mnist_cnn


def test_every_pipeline_is_run_on_its_sample_and_stands_in_one_table(finished, tmp_path, monkeypatch, capsys):
    started = []

    def start(name, settings):
        started.append((name, settings))
        return finished

    monkeypatch.setattr(run, "start", start)
    monkeypatch.setattr(cli, "pipelines", lambda: {"mnist_cnn": ""})
    monkeypatch.setenv("COLUMNS", "200")
    assert demo.main(["--output", str(tmp_path)]) == 0
    ((name, settings),) = started
    assert name == "mnist_cnn"
    assert settings == mnist_cnn.Config(**mnist_cnn.SAMPLE, output=settings.output)
    assert settings.output.startswith(str(tmp_path / "mnist_cnn"))
    shown = capsys.readouterr().out
    assert "95 % interval" in shown
    assert "mnist_cnn" in shown
    assert f"Report: {finished / 'report.html'}" in shown
