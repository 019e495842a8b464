// Say what to do when the page is opened as a file, from which browsers load no modules.
if (location.protocol === "file:") {
  const error = document.getElementById("error");
  error.textContent =
    "This page was opened as a file, from which browsers cannot load a model: " +
    "run “python -m http.server” in its folder and open localhost:8000.";
  error.hidden = false;
  document.getElementById("status").textContent = "";
}
