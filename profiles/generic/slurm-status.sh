#!/bin/sh
# How a SLURM job is doing, in the words that Snakemake understands. It needs no accounting.
state=$(scontrol show job "$1" -o 2>/dev/null | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
case "$state" in
    COMPLETED) echo success ;;
    PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | REQUEUED | RESIZING | "") echo running ;;
    *) echo failed ;;
esac
