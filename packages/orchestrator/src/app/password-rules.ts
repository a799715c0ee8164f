import { InsienError } from "@insien/protocol";

/** The commonest in leaked lists among those that are long enough, and this product's own name. */
const COMMON = new Set(
  `1234567890 0123456789 0987654321 1234567891 12345678910 123456789a 1q2w3e4r5t 1qaz2wsx3edc
  abcdefghij abcd123456 abc123456789 administrator admin12345 admin123456 changeme123 changemenow
  football123 iloveyou12 iloveyou123 insieninsien letmein123 letmein1234 monkey12345 mypassword
  p@ssw0rd123 passw0rd123 password01 password10 password11 password12 password123 password1234
  password12345 password123456 passwordpassword princess123 q1w2e3r4t5 qazwsxedcrfv qwerty12345
  qwerty123456 qwertyuiop qwertyuiop123 qwertyuiop[] sunshine123 superman123 unknown123 welcome123
  welcome1234 zaq12wsxcde3`.split(/\s+/),
);

/** Throws `invalid_request`, naming the `field`. Its length was checked before. */
export function assertGoodPassword(password: string, email: string, field: string): void {
  const lowered = password.toLowerCase();
  const [local] = email.split("@");
  if (lowered === email || lowered === local)
    throw weak(field, "must not be the email address, which others know");
  if (COMMON.has(lowered) || new Set(lowered).size <= 2)
    throw weak(field, "is one of the commonest, which are tried first: take another");
}

const weak = (field: string, why: string): InsienError =>
  new InsienError("invalid_request", `${field}: ${why}`, { details: { in: "body", field } });
