"""From folders of files and this machine's own documentation to documents worth training on."""
