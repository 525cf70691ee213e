"""Items from files, and vectors into files: resumable, and with broken items set aside."""
