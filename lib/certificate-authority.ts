import { RemovalPolicy, Stack, Token } from 'aws-cdk-lib'
import { CfnCertificate, CfnCertificateAuthority, CfnCertificateAuthorityActivation } from 'aws-cdk-lib/aws-acmpca'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { CfnKey, type IKey, Key, KeySpec, KeyUsage } from 'aws-cdk-lib/aws-kms'
import type { Construct } from 'constructs'

/** What a mesh needs of its certificate authority. */
export interface CertificateAuthorityBinding {
  /** How the control plane finds the authority: `acm-pca:<CA ARN>` or `kms:<key ARN>`. */
  readonly setting: string
  /** What the functions that sign workload certificates must be allowed to do, and no more. */
  readonly signing: PolicyStatement[]
}

/** Who signs the certificates of a mesh's workloads. */
export abstract class CertificateAuthority {
  /**
   * A root CA of ACM Private CA in short-lived mode, made for the mesh. Its key can't be used but by AWS; it costs
   * 50 dollars a month, and 0.058 dollars a certificate. It stays when it leaves the stack, since a rotation to another CA
   * still needs it (docs/certificates.md): delete it yourself once it is over.
   */
  public static acmPca(): CertificateAuthority {
    return new NewAcmPca()
  }

  /**
   * A CA of ACM Private CA that is there already, and active.
   * @param certificateAuthorityArn `arn:aws:acm-pca:region:account:certificate-authority/id`
   * @param formerArn the CA that signed before: it goes on for 7 days, until all proxies trust the new one (docs/certificates.md).
   * @default - no other CA signed before, or its rotation is over
   * @throws Error for what is the ARN of something else.
   */
  public static fromAcmPcaArn(certificateAuthorityArn: string, formerArn?: string): CertificateAuthority {
    for (const arn of [certificateAuthorityArn, formerArn]) checkArn(arn, ACM_PCA_ARN, ACM_PCA_EXAMPLE)
    return new ExistingAcmPca(certificateAuthorityArn, formerArn)
  }

  /** A P-256 key of KMS, made for the mesh; the control plane is the CA and KMS signs. Costs 1 dollar a month. */
  public static kms(): CertificateAuthority {
    return new NewKmsKey()
  }

  /**
   * A KMS key that is there already.
   * @param key of spec ECC_NIST_P256, usage SIGN_VERIFY.
   * @param former the key that signed before: it goes on for 7 days, until all proxies trust the new one (docs/certificates.md).
   * @default - no other key signed before, or its rotation is over
   * @throws Error for an alias, and for a key of this app that can't sign.
   */
  public static fromKmsKey(key: IKey, former?: IKey): CertificateAuthority {
    for (const one of [key, former]) if (one !== undefined) checkKey(one)
    return new ExistingKmsKey(key, former)
  }

  /**
   * Makes what the authority is made of.
   * @param scope construct below which it is made.
   * @param trustDomain names the CA's subject.
   */
  public abstract bind(scope: Construct, trustDomain: string): CertificateAuthorityBinding
}

const ACM_PCA_ARN = /^arn:aws[\w-]*:acm-pca:[\w-]+:\d{12}:certificate-authority\/[\w-]+$/
const ACM_PCA_EXAMPLE = 'arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/<id>'
const KEY_ARN = /^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key\/[\w-]+$/

/** What holds a token is for CloudFormation to say. */
function checkArn(arn: string | undefined, pattern: RegExp, example: string): void {
  if (arn === undefined || Token.isUnresolved(arn) || pattern.test(arn)) return
  throw new Error(`${JSON.stringify(arn)} can't be the authority; give an ARN such as ${example}`)
}

function checkKey(key: IKey): void {
  const { path } = key.node
  if ('aliasName' in key) {
    throw new Error(
      `${path} is an alias, on which no rights can be given; give the key itself: Key.fromKeyArn(...) or Key.fromLookup(...)`,
    )
  }
  checkArn(key.keyArn, KEY_ARN, 'arn:aws:kms:eu-west-1:111122223333:key/<id>')
  const { defaultChild: own } = key.node
  if (!(own instanceof CfnKey)) return
  const { keySpec = KeySpec.SYMMETRIC_DEFAULT, keyUsage = KeyUsage.ENCRYPT_DECRYPT } = own
  if ([keySpec, keyUsage].some((value) => Token.isUnresolved(value))) return
  if (keySpec === KeySpec.ECC_NIST_P256 && keyUsage === KeyUsage.SIGN_VERIFY) return
  throw new Error(
    `${path} is a key of spec ${keySpec} for ${keyUsage}, which can't sign certificates; make it with ` +
      'keySpec: KeySpec.ECC_NIST_P256 and keyUsage: KeyUsage.SIGN_VERIFY',
  )
}

/** The only template that lets the caller name the URI SAN, and no more: it makes leaves, never another CA. */
const LEAF_TEMPLATE = 'BlankEndEntityCertificate_APIPassthrough/V1'
const ROOT_TEMPLATE = 'RootCACertificate/V1'
const ROOT_YEARS = 10
const KEY_ALGORITHM = 'EC_prime256v1'
const SIGNING_ALGORITHM = 'SHA256WITHECDSA'

class ExistingAcmPca extends CertificateAuthority {
  readonly #arn: string
  readonly #formerArn: string | undefined

  public constructor(certificateAuthorityArn: string, formerArn: string | undefined) {
    super()
    this.#arn = certificateAuthorityArn
    this.#formerArn = formerArn
  }

  public bind(scope: Construct): CertificateAuthorityBinding {
    return acmPcaBinding(scope, this.#arn, this.#formerArn)
  }
}

class NewAcmPca extends CertificateAuthority {
  public bind(scope: Construct, trustDomain: string): CertificateAuthorityBinding {
    const authority = new CfnCertificateAuthority(scope, 'CertificateAuthority', {
      type: 'ROOT',
      usageMode: 'SHORT_LIVED_CERTIFICATE',
      keyAlgorithm: KEY_ALGORITHM,
      signingAlgorithm: SIGNING_ALGORITHM,
      subject: { organization: 'Weft', commonName: `${trustDomain} mesh CA`.slice(0, 64) },
    })
    const root = new CfnCertificate(scope, 'RootCertificate', {
      certificateAuthorityArn: authority.attrArn,
      certificateSigningRequest: authority.attrCertificateSigningRequest,
      signingAlgorithm: SIGNING_ALGORITHM,
      templateArn: templateArn(scope, ROOT_TEMPLATE),
      validity: { type: 'YEARS', value: ROOT_YEARS },
    })
    const activation = new CfnCertificateAuthorityActivation(scope, 'RootActivation', {
      certificateAuthorityArn: authority.attrArn,
      certificate: root.attrCertificate,
      status: 'ACTIVE',
    })
    activation.node.addDependency(root)
    // Deleted, it could sign no more while proxies still trust it alone; without its activation it would be disabled. A
    // deployment that fails at first leaves nothing.
    for (const part of [authority, root, activation]) {
      part.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
    }
    return acmPcaBinding(scope, authority.attrArn)
  }
}

class ExistingKmsKey extends CertificateAuthority {
  readonly #key: IKey
  readonly #former: IKey | undefined

  public constructor(key: IKey, former: IKey | undefined) {
    super()
    this.#key = key
    this.#former = former
  }

  public bind(): CertificateAuthorityBinding {
    return kmsBinding(this.#key, this.#former)
  }
}

class NewKmsKey extends CertificateAuthority {
  public bind(scope: Construct, trustDomain: string): CertificateAuthorityBinding {
    const key = new Key(scope, 'CertificateAuthorityKey', {
      description: `Signs workload certificates of ${trustDomain}`,
      keySpec: KeySpec.ECC_NIST_P256,
      keyUsage: KeyUsage.SIGN_VERIFY,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    })
    return kmsBinding(key)
  }
}

function acmPcaBinding(scope: Construct, arn: string, formerArn?: string): CertificateAuthorityBinding {
  const resources = formerArn === undefined ? [arn] : [arn, formerArn]
  return {
    setting: `acm-pca:${arn}`,
    signing: [
      new PolicyStatement({
        sid: 'IssueWorkloadCertificates',
        actions: ['acm-pca:IssueCertificate'],
        resources,
        conditions: { StringEquals: { 'acm-pca:TemplateArn': templateArn(scope, LEAF_TEMPLATE) } },
      }),
      new PolicyStatement({
        sid: 'ReadCertificates',
        actions: ['acm-pca:GetCertificate', 'acm-pca:GetCertificateAuthorityCertificate'],
        resources,
      }),
    ],
  }
}

function kmsBinding(key: IKey, former?: IKey): CertificateAuthorityBinding {
  const keys = former === undefined ? [key] : [key, former]
  return {
    setting: `kms:${key.keyArn}`,
    signing: [
      new PolicyStatement({
        sid: 'SignWorkloadCertificates',
        actions: ['kms:Sign', 'kms:GetPublicKey'],
        resources: keys.map(({ keyArn }) => keyArn),
      }),
    ],
  }
}

function templateArn(scope: Construct, resourceName: string): string {
  return Stack.of(scope).formatArn({ service: 'acm-pca', region: '', account: '', resource: 'template', resourceName })
}
