from model import Classifier


def test_classifier(htp_export):
    htp_export(Classifier(), {"tokens": "int64[2, 8]"})
