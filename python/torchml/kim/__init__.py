"""KIM-API: names, portable models and collections."""

from torchml.kim.collections import (
    extract_parameter_files,
    install,
    installed_folder,
    require_driver,
)
from torchml.kim.driver import install_driver
from torchml.kim.names import DRIVER, model_name
from torchml.kim.portable_models import require_writable, write_portable_model

__all__ = [
    "DRIVER",
    "extract_parameter_files",
    "install",
    "install_driver",
    "installed_folder",
    "model_name",
    "require_driver",
    "require_writable",
    "write_portable_model",
]
