from spectralvision.report import Findings


def build_findings(run, data):
    return Findings(title=run.name)
