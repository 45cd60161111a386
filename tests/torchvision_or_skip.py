import pytest


def import_torchvision():
    """Import torchvision, or skip the test where it is not installed or does not fit the installed torch."""
    try:
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"torchvision cannot be imported: {error}")
    return torchvision
