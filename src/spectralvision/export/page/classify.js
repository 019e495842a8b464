// The most probable classes of an image, like classify.py.

const TOP_K = 5;

/** @returns {{kind: "classes", classes: {label: string, score: number}[]}} the best first */
export function classify(outputs, config) {
  const scores = outputs[0].data;
  const probabilities = config.output === "probabilities" ? [...scores] : softmax(scores);
  const order = probabilities.map((_, index) => index);
  order.sort((one, other) => probabilities[other] - probabilities[one]);
  const classes = order.slice(0, TOP_K).map((index) => ({
    label: config.labels[index],
    score: probabilities[index],
  }));
  return { kind: "classes", classes };
}

function softmax(scores) {
  const largest = scores.reduce((one, other) => Math.max(one, other));
  const exponents = Array.from(scores, (score) => Math.exp(score - largest));
  const sum = exponents.reduce((one, other) => one + other);
  return exponents.map((exponent) => exponent / sum);
}
