"""LeRobot policy that asks a Handover server: `--policy.type=handover` of LeRobot's commands.

LeRobot imports this package because of its distribution's name, and finds policy and processors
beside the configuration by their modules' names.
"""

import importlib.util

if importlib.util.find_spec("lerobot") is not None:
    from lerobot_policy_handover.configuration_handover import HandoverConfig as HandoverConfig
