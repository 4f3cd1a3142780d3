"""How ALOHA rides on the GR1 embodiment: 29 slots in this order, arms relative, 16 steps at 20 Hz.

Read by `handover finetune --modality-config-path` as data, never run. The words are those of a
checkpoint's processor_config.json.
"""

GROUPS = ["left_arm", "left_hand", "right_arm", "right_hand", "waist"]

RELATIVE = {"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT"}
ABSOLUTE = {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT"}

MODALITY_CONFIG = {
    "video": {"delta_indices": [0], "modality_keys": ["ego_view"]},
    "state": {"delta_indices": [0], "modality_keys": GROUPS},
    "action": {
        "delta_indices": list(range(16)),
        "modality_keys": GROUPS,
        "action_configs": [RELATIVE, ABSOLUTE, RELATIVE, ABSOLUTE, ABSOLUTE],
    },
    "language": {
        "delta_indices": [0],
        "modality_keys": ["annotation.human.task_description"],
    },
}
