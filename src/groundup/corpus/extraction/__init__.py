"""From pages to text: HTML, XML and markup languages, character sets, and workers that a bad page can't take along."""
