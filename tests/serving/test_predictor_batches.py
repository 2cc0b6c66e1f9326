from kerasuite.serving import predictor


def test_a_batch_ends_at_its_number_of_rows_or_of_bytes(monkeypatch):
    monkeypatch.setattr(predictor, "MOST_BYTES", 10)
    assert list(predictor._cut(iter([b"1234567", b"1234567", b"1", b"1", b"1", b"1"]), 3)) == [
        [b"1234567", b"1234567"],
        [b"1", b"1", b"1"],
        [b"1"],
    ]
