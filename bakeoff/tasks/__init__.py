"""Problems with checkable answers; `registry.load_task` builds one from its setting."""
