"""Theke under attack: processes killed and frozen, disks wiped, answers lost; afterwards every figure is accounted for."""
