import keras
import tensorflow as tf

from kerasuite.training.logs import Logs


def test_where_no_more_can_be_written_a_warning_is_said_once_and_training_goes_on(tmp_path, monkeypatch, capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    full = tf.errors.ResourceExhaustedError(None, None, "{{function_node Flush}} log/train; No space left on device")

    def write(self, epoch, logs):
        raise full

    monkeypatch.setattr(keras.callbacks.TensorBoard, "_log_epoch_metrics", write)
    x = tf.zeros((4, 2))
    history = model.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=[Logs(tmp_path)])
    assert len(history.epoch) == 3
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "Warning: no more logs for TensorBoard are written. log/train; No space left on device"
    ]
