// Builds the page of a car from the JSON-LD in its head.
const node = JSON.parse(document.querySelector('script[type="application/ld+json"]').textContent);
const car = node["@graph"] ? node["@graph"].find((part) => part.offers) : node;
const article = document.getElementById("car");

function add(parent, tag, text, className) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

article.replaceChildren();
add(article, "h1", car.name);
const gallery = add(article, "div", "", "gallery");
for (const url of car.image) add(gallery, "img").src = url;
add(article, "p", `${car.offers.priceCurrency} ${Number(car.offers.price).toLocaleString()}`, "price");
add(article, "p", `Offered by ${car.offers.seller.name}`, "dealer");
const facts = {
  Make: car.brand.name,
  Model: car.model,
  Year: car.vehicleModelDate,
  Mileage: car.mileageFromOdometer && `${car.mileageFromOdometer.value.toLocaleString()} km`,
  Colour: car.color,
  Body: car.bodyType,
  Fuel: car.fuelType,
  Gearbox: car.vehicleTransmission,
};
const specs = add(article, "dl", "", "specs");
for (const [name, value] of Object.entries(facts)) {
  if (!value) continue;
  add(specs, "dt", name);
  add(specs, "dd", value);
}
add(article, "h2", "Description");
add(article, "p", car.description);
