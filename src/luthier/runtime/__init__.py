"""runtime: where studies are kept (`storage`) and where trials run (`executors`)."""
