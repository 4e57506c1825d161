"""Whatever line of the predictor's threads raises, everybody who waits is answered or told, and later callers are answered."""

from concurrent.futures import Future

import pytest

from conftest import make_system, randomize
from interconnected_ai.branches import BatchedPredictor, Prediction, batched
from raising import OutOfNowhereError, raising


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("passes_at_once", [1, 2])
def test_whatever_line_raises_all_are_told_and_the_next_is_answered(passes_at_once: int) -> None:
    system = randomize(make_system("old", "hot"))
    system.freeze_trunk()
    few, many = ["my bank card"], ["rain and snow", "cat", "the lion", "cold wind", "a horse"]
    wanted = {len(texts): [one.text for one in system.predict(texts)] for texts in (few, many)}
    known: set[int] = set()
    while True:
        with raising(batched, "batched predictor", known, spared="_work") as raised:
            predictor = BatchedPredictor(system, passes_at_once=passes_at_once, num_texts=3, linger_seconds=0)
            with predictor:
                asked: list[Future[list[Prediction]]] = [predictor.submit(texts) for texts in (few, many)]
                for one in asked:
                    error = one.exception(60)  # whoever waits for ever fails here
                    assert error is None or isinstance(error, OutOfNowhereError), (raised, error)
                    assert error or [told.text for told in one.result()] == wanted[len(one.result())]
                # who asks while the thread ends may be told too, of its pass or of its end
                later = next(one for one in (predictor.submit(many) for _ in range(3)) if not one.exception(60))
                assert [told.text for told in later.result()] == wanted[len(many)], raised
        if not raised:
            break
    assert len(known) > 50
