"""The demo: a click-stream that a team would recognise, a fault planted in it, and what is found of it.

The pipeline is plain Kafka: its producers and jobs are processes that know nothing of ``stream_lineage``.

    crm-sync ────> customers ─┐
                              ├─> feature-builder ──> features ──> purchase-scorer ──> predictions
    web-tracker ─> clicks ────┘
"""
