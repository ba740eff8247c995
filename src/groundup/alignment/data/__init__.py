"""What alignment learns from: files in the field's formats, and questions and pairs made from the documents."""
