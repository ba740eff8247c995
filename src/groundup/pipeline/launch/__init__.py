"""Scripts and manifests that start `groundup run` on a cluster; `groundup launch` writes them for a person to edit."""
