// Loads pictures when they come into view.
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    entry.target.src = entry.target.dataset.src;
    watcher.unobserve(entry.target);
  }
});
for (const image of document.querySelectorAll("img.lazy")) watcher.observe(image);
