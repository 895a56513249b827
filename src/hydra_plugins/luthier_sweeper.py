"""Where Hydra looks for plugins: makes `hydra/sweeper=luthier` known. See luthier.integrations.hydra.

This folder has no __init__.py: it is shared by all of Hydra's plugins. Hydra imports it at the start of every
application, so nothing heavy is imported here.
"""

from hydra.core.config_store import ConfigStore

from luthier.integrations.hydra import SETTINGS, LuthierSweeper

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="luthier",
    node={"_target_": "hydra_plugins.luthier_sweeper.LuthierSweeper", **SETTINGS},
    provider="luthier",
)

__all__ = ["LuthierSweeper"]
