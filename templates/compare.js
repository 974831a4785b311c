// A closed section would be missing on paper.
addEventListener("beforeprint", () => {
  for (const section of document.querySelectorAll("details.case")) section.open = true;
});
// A link to a case opens it.
addEventListener("hashchange", () => {
  const section = document.getElementById(location.hash.slice(1));
  if (section && section.matches("details")) section.open = true;
});
