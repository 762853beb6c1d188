// Runs before the page is drawn, so that a chosen theme never flashes and no fade from page to page fails aloud.
{
  const theme = localStorage.getItem("tamis.theme");
  if (theme) document.documentElement.dataset.theme = theme;

  // A fade that can't be drawn rejects its promises (the window changed its size, the page took four seconds): the page
  // is there all the same. Where a page is too late for its fade, no event hands out the promises.
  const accept = ({ viewTransition: fade }) => {
    if (fade) for (const promise of [fade.updateCallbackDone, fade.ready, fade.finished]) promise.catch(() => {});
  };
  addEventListener("pageswap", accept);
  addEventListener("pagereveal", accept);
  addEventListener("unhandledrejection", (event) => {
    const { name, message } = event.reason ?? {};
    if (name === "InvalidStateError" && message?.startsWith("Transition was aborted")) event.preventDefault();
  });
}
