"""What a translation starts from."""

from __future__ import annotations

from dataclasses import dataclass, field

from torchml.compat.ocp.flags import Flags
from torchml.compat.ocp.folders import Folders
from torchml.compat.ocp.sections import Config
from torchml.compat.ocp.versions import Version


@dataclass
class Given:
    """A configuration of OCP, and where it comes from.

    Attributes:
        config: the typed sections.
        version: the version of OCP that is followed.
        kind: is2re or s2ef.
        flags: the command line.
        folders: where the files go.
        regress_forces: whether the model is trained for forces.
        notes: sentences on what differs from OCP, to which the parts of the translation add.
    """

    config: Config
    version: Version
    kind: str
    flags: Flags
    folders: Folders
    regress_forces: bool
    notes: list[str] = field(default_factory=list)

    @property
    def learns_forces(self) -> bool:
        """Whether forces are learned."""
        return self.kind == "s2ef" and self.regress_forces
